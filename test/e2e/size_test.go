// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"testing"
)

// What is downloaded stays small: the plugin, and the program that is all of the traffic-proxy's image.
func TestSizes(t *testing.T) {
	t.Parallel()
	for program, limit := range map[string]int64{"kubectl-velo": 40 << 20, "traffic-proxy": 15 << 20} {
		path, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %.1f MiB", program, float64(info.Size())/(1<<20))
		if info.Size() > limit {
			t.Errorf("%s has %d bytes, more than %d", program, info.Size(), limit)
		}
	}
}
