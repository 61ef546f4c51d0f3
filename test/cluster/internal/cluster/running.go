// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Load imports image archives, so that pods can use them without a registry.
func (c *Cluster) Load(ctx context.Context, archives ...string) error {
	if err := c.mustRun(); err != nil {
		return err
	}
	names := make([]string, 0, len(archives))
	for _, a := range archives {
		if _, err := os.Stat(a); err != nil {
			return err
		}
		names = append(names, strings.TrimSuffix(filepath.Base(a), ".tar"))
	}
	what := "loading " + strings.Join(names, " ")
	return c.out.DoLong(what, "a few seconds", func() error { return importImages(ctx, archives...) })
}

func importImages(ctx context.Context, archives ...string) error {
	for _, a := range archives {
		if err := run(ctr(ctx, "images", "import", a)); err != nil {
			return err
		}
	}
	return nil
}

// Exec runs a command inside the cluster's network namespace, with this process's streams.
func (c *Cluster) Exec(ctx context.Context, command ...string) error {
	if err := c.mustRun(); err != nil {
		return err
	}
	cmd := inNamespace(ctx, command...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Told to end, it gets to end in its own time; who wants more kills it.
	cmd.Cancel = func() error { return cmd.Process.Signal(sigterm) }
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return err // the command has said what it had to
	}
	if err != nil {
		return fmt.Errorf("running in the cluster's network namespace: %w", err)
	}
	return nil
}

// stopGrace is how long a component that is restarted in order has to end. An API server with watches open takes all
// that it gets.
const stopGrace = 3 * time.Second

// Restart ends one component, by SIGKILL or in order, starts it again as it was, and returns once it is healthy.
func (c *Cluster) Restart(ctx context.Context, component string, kill bool) error {
	restartable := map[string]struct {
		daemon  string
		healthy func(context.Context) error
	}{
		"apiserver": {"kube-apiserver", c.apiReady},
		"kubelet":   {"kubelet", c.kubeletReady},
	}
	r, ok := restartable[component]
	if !ok {
		return fmt.Errorf("component %q can't be restarted, only apiserver and kubelet can", component)
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.mustRun(); err != nil {
		return err
	}
	all, err := daemons()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(d *daemon) bool { return d.Name == r.daemon })
	if i < 0 {
		return fmt.Errorf("%s was never started", r.daemon)
	}
	d := all[i]
	return c.out.Do("restarting "+d.Name, func() error {
		grace := stopGrace
		if kill {
			grace = 0
		}
		if err := d.stop(ctx, grace); err != nil {
			return err
		}
		if err := d.start(); err != nil {
			return err
		}
		return await(ctx, d.Name, time.Minute, func(ctx context.Context) error {
			select {
			case <-d.gone:
				return final{d.died()}
			default:
				return r.healthy(ctx)
			}
		})
	})
}

// Status writes a table of the daemons and returns what is wrong with the cluster, if anything is.
func (c *Cluster) Status(ctx context.Context, w io.Writer) error {
	if err := c.mustRun(); err != nil {
		return err
	}
	all, err := daemons()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tPID\tSTATE")
	for _, d := range all {
		state := "running"
		if !d.Process.alive() {
			state = "dead"
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", d.Name, d.Process.PID, state)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return c.unhealthy(ctx)
}

// mustRun is an error unless a cluster is up here.
func (c *Cluster) mustRun() error {
	if _, err := os.Stat(namespaceFile); err != nil {
		return hint(errors.New("no cluster is up on this machine"), "run 'velo-cluster up'")
	}
	return nil
}
