// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"strings"
	"testing"
	"unicode/utf8"

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

// No line of help is wider than it should be, but for what is to be copied; none has a blank at its end, and no paragraph one
// at its beginning.
func TestHelpIsWrapped(t *testing.T) {
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	root.InitDefaultHelpCmd()
	const narrow = 72 // below it, some flags are too long for tables
	for _, width := range []int{narrow, anyHelpWidth, mostHelpWidth} {
		for _, cmd := range append(root.Commands(), root) {
			cmd.InitDefaultHelpFlag()
			var b strings.Builder
			writeHelp(&b, cmd, width)
			widest, example := 0, false
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				if line != "" && !strings.HasPrefix(line, " ") { // a heading
					example = line == "Examples:"
				}
				verbatim := strings.HasPrefix(line, "      kubectl ") || example && !strings.HasPrefix(line, "  # ")
				length := utf8.RuneCountInString(line)
				if length > width && !verbatim {
					t.Errorf("%s: a line of the help has %d columns, for %d: %s", cmd.Name(), length, width, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s: a line ends in a blank: %q", cmd.Name(), line)
				}
				if strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "  ") {
					t.Errorf("%s: a line begins with a blank: %q", cmd.Name(), line)
				}
				widest = max(widest, length)
			}
			if widest < width-10 && cmd.HasAvailableFlags() {
				t.Errorf("%s: its help has %d columns, for %d", cmd.Name(), widest, width)
			}
		}
	}
}

func TestWrapText(t *testing.T) {
	const text = `A paragraph of a text, in lines
that are joined.

Heading
  What is said below it, which is longer than the line is.
      kubectl velo restore svc/a-rather-long-name
  And more.

- An item of a list, which goes on
- Another
`
	const want = `A paragraph of a text, in
lines that are joined.

Heading
  What is said below it,
  which is longer than the
  line is.
      kubectl velo restore svc/a-rather-long-name
  And more.

- An item of a list, which
  goes on
- Another
`
	if got := wrapText(text, 26); got != want {
		t.Errorf("wrapped, it is\n%s\nwant\n%s", got, want)
	}
	const examples = "  # What it is for, at some length\n  kubectl velo intercept svc/web -- ./web\n  \n  kubectl velo status"
	const wantExamples = "  # What it is for, at\n  # some length\n  kubectl velo intercept svc/web -- ./web\n\n  kubectl velo status"
	if got := wrapExamples(examples, 26); got != wantExamples {
		t.Errorf("wrapped, examples are\n%s\nwant\n%s", got, wantExamples)
	}
	const usage, wantUsage = "velo verify (svc/NAME | ingress/NAME) [-w | --wait DURATION]", "  velo verify\n    (svc/NAME | ingress/NAME)\n    [-w | --wait DURATION]"
	if got := wrapUsage(usage, "  ", 32); got != wantUsage {
		t.Errorf("wrapped, a usage line is\n%s\nwant\n%s", got, wantUsage)
	}
}

// Paragraphs of a command's text, from which pages are made, too, begin without a blank.
func TestLongTexts(t *testing.T) {
	root := NewCommand(NewInterrupts(func() {}), genericiooptions.NewTestIOStreamsDiscard())
	for _, cmd := range root.Commands() {
		if strings.Contains(cmd.Long, "\n ") && cmd.Runnable() {
			t.Errorf("a paragraph of %s begins with a blank:\n%s", cmd.Name(), cmd.Long)
		}
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
