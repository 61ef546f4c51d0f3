// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/util/templates"
)

// completionOptions are those of kubectl velo completion.
type completionOptions struct {
	// Bound to flags.
	dir string

	// From the arguments.
	of string

	streams genericiooptions.IOStreams
}

// ofKubectl asks for what has kubectl complete its plugin.
const ofKubectl = "kubectl"

func shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

func newCompletionCommand(streams genericiooptions.IOStreams) *cobra.Command {
	o := &completionOptions{streams: streams}
	cmd := &cobra.Command{
		Use:   "completion (kubectl [--dir DIR] | bash | zsh | fish | powershell)",
		Short: "Set up completion of 'kubectl velo' with the TAB key",
		Long: templates.LongDesc(`
			Set up completion with the TAB key: of commands, flags, Services and other objects, ports, containers,
			namespaces and contexts. It asks nothing of the cluster; a TAB does, for three seconds at most, and changes
			nothing there.

			'kubectl velo completion kubectl' is what to run, once. It is kubectl that completes 'kubectl velo', if its own
			completion is set up ('kubectl completion --help' says how), and it asks a program kubectl_complete-velo, which
			has to be in the PATH. That is written beside kubectl-velo, or where --dir says. It is a script of one line that
			asks kubectl-velo, whichever version of it is in the PATH then.

			With the name of a shell, print a script for that shell that completes 'kubectl-velo', for those who call it by
			that name.`),
		Example: templates.Examples(`
			# Complete 'kubectl velo', where kubectl completes already
			kubectl velo completion kubectl

			# The same, where the plugin's own directory can't be written to
			kubectl velo completion kubectl --dir ~/.local/bin

			# Complete 'kubectl-velo' in this bash
			source <(kubectl velo completion bash)

			# Complete 'kubectl-velo' in every fish
			kubectl velo completion fish > ~/.config/fish/completions/kubectl-velo.fish`),
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     oneOf(append(shells(), ofKubectl)...),
		Args:                  o.takeArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.of == ofKubectl {
				return o.install(runtime.GOOS)
			}
			return o.script(cmd.Root())
		},
	}
	cmd.Flags().StringVar(&o.dir, "dir", "", "`DIR` of the PATH to write kubectl_complete-velo to (default the plugin's)")
	_ = cmd.RegisterFlagCompletionFunc("dir", anyDirectory) // it is there
	return cmd
}

func (o *completionOptions) takeArguments(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return usageErrorf("name what is to complete: kubectl, bash, zsh, fish or powershell")
	case len(args) > 1:
		return usageErrorf("unexpected argument %q", args[1])
	case args[0] != ofKubectl && !slices.Contains(shells(), args[0]):
		err := usageErrorf("%q is none of kubectl, bash, zsh, fish, powershell", args[0])
		if found := near(args[0], append(shells(), ofKubectl)); len(found) > 0 {
			return withHint(err, "did you mean 'kubectl velo completion %s'?", found[0])
		}
		return err
	case args[0] != ofKubectl && o.dir != "":
		return usageErrorf("--dir is for kubectl: what completes in %s goes to stdout", args[0])
	}
	o.of = args[0]
	return nil
}

// script prints what has a shell complete the plugin when it is called by the name of its file.
func (o *completionOptions) script(root *cobra.Command) error {
	switch o.of {
	case "bash":
		return root.GenBashCompletionV2(o.streams.Out, true)
	case "zsh":
		return root.GenZshCompletion(o.streams.Out)
	case "fish":
		return root.GenFishCompletion(o.streams.Out, true)
	default:
		return root.GenPowerShellCompletionWithDesc(o.streams.Out)
	}
}

// completionProgram returns the name and content of the program that kubectl asks, as k8s.io/kubectl/pkg/cmd/plugin
// describes it: it is given the plugin's words, the last of which is to go on, and says how.
//
// It is a script, and no link to the plugin: it goes on to work when a plugin manager has put another version in the place
// of this one, and where users may not make links.
func completionProgram(goos string) (name string, content []byte) {
	if goos == "windows" {
		return "kubectl_complete-velo.cmd", []byte("@rem " + completionMark + "\r\n@kubectl-velo __complete %* 2>nul\r\n")
	}
	return "kubectl_complete-velo", []byte("#!/bin/sh\n# " + completionMark + "\n" + `exec kubectl-velo __complete "$@" 2>/dev/null` + "\n")
}

const completionMark = "Completes 'kubectl velo' for kubectl. Written by 'kubectl velo completion kubectl'."

// install writes the program that kubectl asks.
func (o *completionOptions) install(goos string) error {
	dir := o.dir
	if dir == "" {
		var err error
		if dir, err = pluginDir(); err != nil {
			return err
		}
	}
	name, content := completionProgram(goos)
	path := filepath.Join(dir, name)
	found, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return withHint(fmt.Errorf("reading %s: %w", path, err), "name another directory of your PATH with --dir")
	case !bytes.Contains(found, []byte(completionMark)):
		return withHint(fmt.Errorf("%s is there already, and wasn't written by this command", path),
			"remove it, or name another directory of your PATH with --dir")
	}
	if err := writeProgram(path, content); err != nil {
		return withHint(fmt.Errorf("writing %s: %w", path, err), "name another directory of your PATH with --dir")
	}
	report := newReport(o.streams.ErrOut)
	report.is("%s is in place: kubectl asks it for completions of 'kubectl velo'", path)
	if first, err := exec.LookPath(name); err != nil || !sameFile(first, path) {
		report.warns("%s is not what your PATH leads to: kubectl looks for %s there", path, name)
	}
	return nil
}

// pluginDir is where kubectl finds the plugin.
func pluginDir() (string, error) {
	if path, err := exec.LookPath("kubectl-velo"); err == nil {
		return filepath.Abs(filepath.Dir(path))
	}
	path, err := os.Executable()
	if err != nil {
		return "", withHint(fmt.Errorf("finding this program's file: %w", err), "name a directory of your PATH with --dir")
	}
	return filepath.Dir(path), nil
}

func sameFile(a, b string) bool {
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// writeProgram writes a file that may be run. Whoever reads it meanwhile reads all of the old one or all of the new.
func writeProgram(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".kubectl_complete-velo-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Chmod(f.Name(), 0o755) //nolint:gosec // a program for everybody
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
