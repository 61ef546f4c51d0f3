// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
)

// ownCluster is the way for every machine that can't run this one.
const ownCluster = "use a cluster of your own instead: `make demo CONTEXT=kind-dev` and `make e2e CONTEXT=kind-dev` " +
	"run against that context of your kubeconfig"

// minKernel is the oldest kernel that is known to do.
const minKernel = "4.19"

// A tool is a program that is needed and the Debian package it comes in.
type tool struct{ program, pkg string }

var tools = []tool{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"runc", "runc"},
	{"iptables", "iptables"},
	{"nginx", "nginx-light"},
	{"ip", "iproute2"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"mount", "mount"},
}

// findTool returns where a program is, or its bare name.
func findTool(program string) string {
	for _, dir := range filepath.SplitList(toolPath) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return program
}

// cniDir is where the CNI plugins are: distributions and upstream do not agree.
func cniDir() string {
	for _, dir := range []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"} {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil {
			return dir
		}
	}
	return ""
}

// oldest are the versions of programs below which something is missing that is used here.
var oldest = []struct{ program, flag, version string }{
	{"containerd", "--version", "1.6"}, // CRI v1, which is all the kubelet speaks
	{"nginx", "-v", "1.20"},            // -e, to log to stderr from the start
}

// outdated lists the programs that are there but too old.
func outdated() []string {
	var all []string
	for _, o := range oldest {
		out, err := exec.Command(findTool(o.program), o.flag).CombinedOutput()
		if err != nil {
			continue // it is not there, and will be installed
		}
		if have := versionIn(string(out)); olderThan(have, o.version) {
			all = append(all, fmt.Sprintf("%s %s is too old: %s or newer is needed", o.program, have, o.version))
		}
	}
	return all
}

var versionPattern = regexp.MustCompile(`[0-9]+\.[0-9]+\S*`)

// versionIn finds the first version number in what a program says of itself.
func versionIn(out string) string { return versionPattern.FindString(out) }

// missingPackages lists the packages whose programs are not there, whether a package or something else should have
// brought them.
func missingPackages() []string {
	var missing []string
	seen := map[string]bool{}
	for _, t := range tools {
		if !filepath.IsAbs(findTool(t.program)) && !seen[t.pkg] {
			seen[t.pkg] = true
			missing = append(missing, t.pkg)
		}
	}
	if cniDir() == "" {
		missing = append(missing, "containernetworking-plugins")
	}
	return missing
}

// preflight says everything at once that keeps this machine from running a cluster.
func preflight() error {
	problems := hostProblems()
	if len(problems) == 0 {
		return nil
	}
	return hint(fmt.Errorf("this machine can't run the test cluster:\n  - %s", strings.Join(problems, "\n  - ")), ownCluster)
}

// preflightDown is for what only takes away.
func preflightDown() error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return hint(errors.New("the test cluster runs on Linux only, and as root"), ownCluster)
	}
	return nil
}

func hostProblems() []string {
	if runtime.GOOS != "linux" {
		return []string{"it runs " + runtime.GOOS + "; Linux is needed"}
	}
	var problems []string
	if os.Geteuid() != 0 {
		problems = append(problems, "not root: namespaces, mounts and cgroups need it; try again with sudo")
	} else if lacking := lackingCapabilities(); lacking != "" {
		problems = append(problems, "root, but without "+lacking+", as in a container: run that privileged")
	}
	if release := kernelRelease(); olderThan(release, minKernel) {
		problems = append(problems, fmt.Sprintf("kernel %s is too old: %s or newer is needed", release, minKernel))
	}
	if data, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(data), "\toverlay\n") {
		// It may be a module yet to be loaded.
		if exec.Command(findTool("modprobe"), "overlay").Run() != nil {
			problems = append(problems, "the kernel has no overlay file system")
		}
	}
	for _, controller := range missingControllers() {
		problems = append(problems, "the cgroup controller "+controller+" is not mounted or not enabled")
	}
	if _, err := exec.LookPath("go"); err != nil {
		problems = append(problems, "no go command in PATH (which sudo may have cut short): see https://go.dev/doc/install")
	}
	problems = append(problems, outdated()...)
	if missing := missingPackages(); missing != nil && !filepath.IsAbs(findTool("apt-get")) {
		problems = append(problems, "not installed, and no apt-get to install them with: "+strings.Join(missing, ", "))
	}
	return problems
}

// lackingCapabilities names what root usually may and this process may not (capability.h has the numbers).
func lackingCapabilities() string {
	data, err := os.ReadFile(filepath.Join(procfs, "self/status"))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(data), "CapEff:\t")
	effective, err := strconv.ParseUint(strings.SplitN(rest, "\n", 2)[0], 16, 64)
	if err != nil {
		return ""
	}
	var lacking []string
	for _, c := range []struct {
		name string
		bit  int
	}{{"CAP_NET_ADMIN", 12}, {"CAP_SYS_ADMIN", 21}} {
		if effective&(1<<c.bit) == 0 {
			lacking = append(lacking, c.name)
		}
	}
	return strings.Join(lacking, " and ")
}

// missingControllers names the cgroup controllers that kubelet and runc need and the machine does not have.
func missingControllers() []string {
	have := func(controller string) bool {
		_, err := os.Stat(filepath.Join(cgroupRoot, controller))
		return err == nil
	}
	if cgroupV2() {
		data, _ := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
		have = func(controller string) bool {
			return strings.Contains(" "+strings.TrimSpace(string(data))+" ", " "+controller+" ")
		}
	}
	var missing []string
	for _, c := range []string{"cpu", "cpuset", "memory", "pids"} {
		if !have(c) {
			missing = append(missing, c)
		}
	}
	return missing
}

// olderThan compares the first two numbers of versions. One that can't be read is not older.
func olderThan(release, than string) bool {
	var major, minor, wantMajor, wantMinor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	if _, err := fmt.Sscanf(than, "%d.%d", &wantMajor, &wantMinor); err != nil {
		return false
	}
	return major < wantMajor || major == wantMajor && minor < wantMinor
}
