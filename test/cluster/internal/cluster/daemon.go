// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// mark is in the environment of every process started here, and of what those start: see sweep.go.
const mark = "VELO_CLUSTER=" + RunDir

// A daemon is a process that outlives the command that started it. Its record, one file per daemon below RunDir, says
// which process it is and all that is needed to start it again.
type daemon struct {
	Name    string   `json:"name"`
	Command []string `json:"command"` // path and arguments
	Log     string   `json:"log"`
	Process identity `json:"process"`

	files []*os.File    // handed on as descriptors 3 and up
	gone  chan struct{} // closed when it has ended, if it was started by this process
	err   error         // how it ended; valid once gone is closed
}

// start starts d inside the cluster's namespaces and records it. The log is emptied first unless d.Process says
// that it ran before.
func (d *daemon) start() error {
	mode := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if d.Process == (identity{}) {
		mode |= os.O_TRUNC
	}
	log, err := os.OpenFile(d.Log, mode, 0o644)
	if err != nil {
		return fmt.Errorf("starting %s: %w", d.Name, err)
	}
	defer log.Close()

	cmd := exec.Command("nsenter", slices.Concat([]string{"--net=" + namespaceFile, "--mount=" + mountspaceFile, "--"}, d.Command)...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=" + toolPath, "HOME=/root", mark}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = d.files
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", d.Name, err)
	}
	d.gone = make(chan struct{})
	go func() { // ends with the process or with us, whichever is first
		d.err = cmd.Wait()
		close(d.gone)
	}()
	if d.Process, err = identify(cmd.Process.Pid); err != nil {
		return d.died()
	}
	return d.record()
}

func (d *daemon) record() error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return writeFile(daemonFile(d.Name), data, 0o600)
}

// died is the error for a daemon that should be running: how it ended and the last it said.
func (d *daemon) died() error {
	how := "ended"
	if d.gone != nil {
		<-d.gone
		if d.err != nil {
			how = d.err.Error()
		}
	}
	return fmt.Errorf("%s died (%s); the end of %s:\n%s", d.Name, how, d.Log, tail(d.Log, 15))
}

// stop ends d: at once, or after asking it and giving it grace.
func (d *daemon) stop(ctx context.Context, grace time.Duration) error {
	ended := func(context.Context) error {
		if d.Process.alive() {
			return errors.New("still running")
		}
		return nil
	}
	if grace > 0 {
		if err := d.Process.signal(sigterm); err != nil {
			return fmt.Errorf("stopping %s: %w", d.Name, err)
		}
		if await(ctx, d.Name+" to end", grace, ended) == nil {
			return nil
		}
	}
	if err := d.Process.signal(os.Kill); err != nil {
		return fmt.Errorf("killing %s: %w", d.Name, err)
	}
	return await(ctx, d.Name+" to end", 10*time.Second, ended)
}

func daemonFile(name string) string { return runPath("daemons", name+".json") }

// daemons reads what is recorded.
func daemons() ([]*daemon, error) {
	files, err := filepath.Glob(daemonFile("*"))
	if err != nil {
		return nil, err
	}
	var all []*daemon
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		d := new(daemon)
		if err := json.Unmarshal(data, d); err != nil {
			return nil, fmt.Errorf("reading %s: %w", file, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// toolPath is where the programs of packages are, whatever the caller's PATH.
const toolPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// tail returns the last lines of a log.
func tail(file string, lines int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// run runs a command to its end and returns its error with what it said.
func run(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// writeFile writes a file whole or not at all.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}
