// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/result"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
)

// readMachine finds out about this machine. What it doesn't find stays empty: it is for readers.
func readMachine() result.Machine {
	m := result.Machine{
		Processors: runtime.NumCPU(),
		Processor:  field("/proc/cpuinfo", "model name"),
		Kernel:     content("/proc/sys/kernel/osrelease"),
		Congestion: content("/proc/sys/net/ipv4/tcp_congestion_control"),
		Versions:   map[string]string{"Go": runtime.Version()},
	}
	memory := strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB")
	if kibi, err := strconv.ParseInt(memory, 10, 64); err == nil {
		m.Memory = kibi << 10
	}
	if buffers := strings.Fields(content("/proc/sys/net/ipv4/tcp_wmem")); len(buffers) == 3 {
		m.SendBuffer, _ = strconv.ParseInt(buffers[2], 10, 64)
	}
	if load := strings.Fields(content("/proc/loadavg")); len(load) > 0 {
		m.Load, _ = strconv.ParseFloat(load[0], 64)
	}
	return m
}

func content(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// field finds the value of the first line `name: value`.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// addVersions adds those of the programs that are measured.
func addVersions(ctx context.Context, versions map[string]string, cluster string, plugins []way.Plugin) {
	versions["Kubernetes"] = cluster
	if out, err := exec.CommandContext(ctx, "kubectl", "version", "--client", "-o", "json").Output(); err == nil {
		var version struct {
			ClientVersion struct {
				GitVersion string `json:"gitVersion"`
			} `json:"clientVersion"`
		}
		if json.Unmarshal(out, &version) == nil {
			versions["kubectl"] = version.ClientVersion.GitVersion
		}
	}
	if out, _ := exec.CommandContext(ctx, "wrk", "-v").CombinedOutput(); len(out) > 0 { // its exit code is 1
		if fields := strings.Fields(string(out)); len(fields) > 1 {
			versions["wrk"] = fields[1]
		}
	}
	for _, p := range plugins {
		if sum, err := sumOf(p.Path); err == nil {
			versions[strings.TrimSuffix("kubectl-velo@"+p.Name, "@")] = "sha256:" + sum[:12]
		}
	}
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// keepPlugins copies the builds that are measured, so that nobody can build them anew meanwhile.
func keepPlugins(dir string, plugins []way.Plugin) ([]way.Plugin, error) {
	kept := make([]way.Plugin, 0, len(plugins))
	for i, p := range plugins {
		data, err := os.ReadFile(p.Path)
		if err != nil {
			return nil, err
		}
		p.Path = filepath.Join(dir, fmt.Sprintf("kubectl-velo-%d", i))
		if err := os.WriteFile(p.Path, data, 0o700); err != nil {
			return nil, err
		}
		kept = append(kept, p)
	}
	return kept, nil
}
