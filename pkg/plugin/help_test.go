// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-velo/kubectl-velo/manifests"
)

// Every command says what it does to the cluster, and has two to four examples that call it by its name.
func TestHelpOfEveryCommand(t *testing.T) {
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if !cmd.Runnable() {
			continue
		}
		t.Run(cmd.Name(), func(t *testing.T) {
			if !strings.Contains(cmd.Long, "cluster") && !strings.Contains(cmd.Long, "namespace") {
				t.Errorf("it doesn't say what it does to the cluster: %s", cmd.Long)
			}
			examples := 0
			for line := range strings.Lines(cmd.Example) {
				if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") && strings.Contains(line, "kubectl velo "+cmd.Name()) {
					examples++
				}
			}
			if examples < 2 || examples > 4 {
				t.Errorf("it has %d examples, want 2 to 4:\n%s", examples, cmd.Example)
			}
			if cmd.GroupID == "" {
				t.Error("it is in no group")
			}
			if line := cmd.UseLine(); !strings.HasPrefix(line, "kubectl velo "+cmd.Name()) {
				t.Errorf("its usage line is %q", line)
			}
		})
	}
}

// Every flag of every command is in its help, once.
func TestUsageNamesEveryFlag(t *testing.T) {
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	for _, cmd := range root.Commands() {
		usage := cmd.UsageString()
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if got := strings.Count(usage, " --"+flag.Name+" "); got == 0 && !flag.Hidden {
				t.Errorf("the help of %s doesn't name --%s", cmd.Name(), flag.Name)
			}
		})
	}
}

func TestRightsHelp(t *testing.T) {
	rights, err := rightsOf(manifests.UserRole)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range rights {
		if one.reason == "" {
			t.Errorf("there is no reason for %v", one.rule)
		}
	}
	help := rightsHelp(manifests.UserRole)
	for _, want := range []string{
		"pods/portforward: get, create\n  Open the tunnel to the traffic-proxy",
		"endpointslices (discovery.k8s.io): get, list, watch\n  See when callers",
	} {
		if !strings.Contains(help, want) {
			t.Errorf("it doesn't say %q:\n%s", want, help)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > usageWidth+1 {
			t.Errorf("a line is longer than %d: %s", usageWidth, line)
		}
	}
}

func TestNearFlags(t *testing.T) {
	cmd := &cobra.Command{Use: "x"}
	for _, name := range []string{"port", "take-over", "dep", "w"} {
		cmd.Flags().Bool(name, false, "")
	}
	cmd.Flags().Bool("hidden", false, "")
	_ = cmd.Flags().MarkHidden("hidden")
	tests := map[string]string{"prt": "--port", "take": "--take-over", "deps": "--dep", "hiden": "", "frobnicate": "", "x": ""}
	for name, want := range tests {
		if got := strings.Join(nearFlags(cmd, name), " "); got != want {
			t.Errorf("near --%s is %q, want %q", name, got, want)
		}
	}
}
