// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kubeletSysctls are settings of the whole machine that a kubelet changes when it starts.
var kubeletSysctls = []string{
	"kernel/keys/root_maxbytes", "kernel/keys/root_maxkeys", "kernel/panic", "kernel/panic_on_oops",
	"vm/overcommit_memory", "vm/panic_on_oom",
}

func sysctlFile(name string) string { return filepath.Join(procfs, "sys", name) }

// saveSysctls notes what the machine had.
func saveSysctls() error {
	values := map[string]string{}
	for _, name := range kubeletSysctls {
		data, err := os.ReadFile(sysctlFile(name))
		if err != nil {
			return fmt.Errorf("saving sysctl: %w", err)
		}
		values[name] = strings.TrimSpace(string(data))
	}
	data, err := json.Marshal(values)
	if err != nil {
		return err
	}
	return writeFile(runPath("sysctls.json"), data, 0o600)
}

// restoreSysctls gives it back.
func restoreSysctls() error {
	data, err := os.ReadFile(runPath("sysctls.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	values := map[string]string{}
	if err := errors.Join(err, json.Unmarshal(data, &values)); err != nil {
		return fmt.Errorf("restoring sysctls: %w", err)
	}
	for name, value := range values {
		if err := os.WriteFile(sysctlFile(name), []byte(value), 0o644); err != nil {
			return fmt.Errorf("restoring sysctl: %w", err)
		}
	}
	return nil
}
