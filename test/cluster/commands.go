// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/cluster"
	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/image"
	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/ingress"
	"github.com/kubectl-velo/kubectl-velo/test/cluster/internal/relay"
)

var (
	errUsage   = errors.New("wrong usage")            // exit code 2
	errCommand = errors.New("the command has failed") // exit code of the command
)

func newCommand() *cobra.Command {
	var repo string
	root := &cobra.Command{
		Use:           "velo-cluster",
		Short:         "Run a real single-node Kubernetes " + cluster.KubernetesVersion + " on this machine, for tests and the demo",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%w: no command %q; see velo-cluster --help", errUsage, args[0])
			}
			return cmd.Help()
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentFlags().StringVar(&repo, "repo", "", "the clone to work for (default: the one whose .cluster/bin holds this program)")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	with := func(f func(*cobra.Command, []string, *cluster.Cluster) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			c, err := cluster.New(repo, cluster.NewSteps(cmd.ErrOrStderr()))
			if err != nil {
				return err
			}
			return f(cmd, args, c)
		}
	}

	up := &cobra.Command{
		Use: "up", Short: "Install and build what is missing, start the cluster, and say where it is reached",
		Args: args(cobra.NoArgs),
		RunE: with(func(cmd *cobra.Command, _ []string, c *cluster.Cluster) error {
			url, err := c.Up(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "  its Ingress     %s\n  for kubectl     export KUBECONFIG=%s\n", url, c.Kubeconfig())
			return nil
		}),
	}
	down := &cobra.Command{
		Use: "down", Short: "Take the cluster down and leave nothing of it",
		Args: args(cobra.NoArgs),
		RunE: with(func(cmd *cobra.Command, _ []string, c *cluster.Cluster) error {
			if err := c.Down(cmd.Context()); err != nil {
				return err
			}
			if os.Getenv("KUBECONFIG") == c.Kubeconfig() {
				fmt.Fprintln(cmd.ErrOrStderr(), "  in this shell   unset KUBECONFIG")
			}
			return nil
		}),
	}
	status := &cobra.Command{
		Use: "status", Short: "List the cluster's processes; fail unless all is well",
		Args: args(cobra.NoArgs),
		RunE: with(func(cmd *cobra.Command, _ []string, c *cluster.Cluster) error {
			return c.Status(cmd.Context(), cmd.OutOrStdout())
		}),
	}
	load := &cobra.Command{
		Use: "load IMAGE.tar...", Short: "Load image archives into the cluster",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: with(func(cmd *cobra.Command, args []string, c *cluster.Cluster) error {
			return c.Load(cmd.Context(), args...)
		}),
	}
	var kill bool
	restart := &cobra.Command{
		Use: "restart apiserver|kubelet", Short: "Restart one component and wait until it is healthy",
		Args: args(cobra.ExactArgs(1)),
		RunE: with(func(cmd *cobra.Command, args []string, c *cluster.Cluster) error {
			return c.Restart(cmd.Context(), args[0], kill)
		}),
	}
	restart.Flags().BoolVar(&kill, "kill", false, "end it with SIGKILL, not in order")
	execute := &cobra.Command{
		Use: "exec -- COMMAND...", Short: "Run a command inside the cluster's network namespace",
		Args: args(cobra.MinimumNArgs(1)),
		RunE: with(func(cmd *cobra.Command, args []string, c *cluster.Cluster) error {
			if err := c.Exec(cmd.Context(), args...); err != nil {
				return fmt.Errorf("%w: %w", errCommand, err)
			}
			return nil
		}),
	}
	execute.Flags().SetInterspersed(false)

	root.AddCommand(up, down, status, load, restart, execute, newImageCommand(with),
		newRelayCommand(), newIngressCommand(), newResolveCommand())
	return root
}

// args marks a wrong number of arguments as wrong usage.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return fmt.Errorf("%w: %w; usage: %s", errUsage, err, cmd.UseLine())
		}
		return nil
	}
}

type withCluster func(func(*cobra.Command, []string, *cluster.Cluster) error) func(*cobra.Command, []string) error

func newImageCommand(with withCluster) *cobra.Command {
	var (
		spec                        image.Spec
		out                         string
		files, programs, debs, dirs []string
	)
	cmd := &cobra.Command{
		Use:   "image --name REF -o FILE.tar {--file SRC:DST | --program PATH | --deb PACKAGE:PATH | --dir PATH}...",
		Short: "Build an image archive from programs of this machine",
		Long: `Build an image archive from programs of this machine, for 'velo-cluster load', 'docker load' or
'kind load image-archive'. The same input makes the same bytes.

  --file puts in a file as it is, such as a static binary;
  --program a program at its own path, with the shared libraries it needs;
  --deb the same, and installs the Debian package if the program is not there;
  --dir a directory at its own path, with all that is in it.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spec.Name == "" || out == "" {
				return fmt.Errorf("%w: --name and -o are needed", errUsage)
			}
			for _, f := range files {
				source, dst, ok := cutLast(f, ":")
				if !ok {
					return fmt.Errorf("%w: --file %s is not SRC:DST", errUsage, f)
				}
				spec.Files = append(spec.Files, image.File{Source: source, Path: dst})
			}
			for _, d := range debs {
				pkg, path, ok := strings.Cut(d, ":")
				if !ok {
					return fmt.Errorf("%w: --deb %s is not PACKAGE:PATH", errUsage, d)
				}
				require := func(cmd *cobra.Command, _ []string, c *cluster.Cluster) error {
					return c.Require(cmd.Context(), pkg, path)
				}
				if err := with(require)(cmd, nil); err != nil {
					return err
				}
				programs = append(programs, path)
			}
			for _, p := range programs {
				found, err := image.Program(cmd.Context(), p)
				if err != nil {
					return err
				}
				spec.Files = append(spec.Files, found...)
			}
			for _, d := range dirs {
				found, err := image.Directory(d)
				if err != nil {
					return err
				}
				spec.Files = append(spec.Files, found...)
			}
			return image.Write(spec, out)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Name, "name", "", "the image's name, with a tag")
	flags.StringVarP(&out, "output", "o", "", "the archive to write")
	flags.StringArrayVar(&files, "file", nil, "file to put in, SRC:DST")
	flags.StringArrayVar(&programs, "program", nil, "program to put in with its libraries, by its absolute path")
	flags.StringArrayVar(&debs, "deb", nil, "program of a Debian package to put in, PACKAGE:PATH")
	flags.StringArrayVar(&dirs, "dir", nil, "directory to put in with all that is in it, by its absolute path")
	flags.StringArrayVar(&spec.Entrypoint, "entrypoint", nil, "program that runs, and again for each argument (default: the first file)")
	flags.StringArrayVar(&spec.Env, "env", nil, "environment variable, NAME=VALUE")
	flags.StringVar(&spec.User, "user", "65532", "number of the user it runs as, not root's")
	return cmd
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// The following are daemons and probes that up runs.

func newRelayCommand() *cobra.Command {
	return &cobra.Command{
		Use: "relay TARGET...", Short: "Carry the connections of inherited listeners to the targets", Hidden: true,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, targets []string) error {
			listeners, err := relay.Inherited(len(targets))
			if err != nil {
				return err
			}
			g, ctx := errgroup.WithContext(cmd.Context())
			for i, target := range targets {
				g.Go(func() error { return relay.Serve(ctx, listeners[i], target) })
			}
			return g.Wait()
		},
	}
}

func newIngressCommand() *cobra.Command {
	c := &ingress.Controller{Ports: ingress.Ports{HTTP: 80, HTTPS: 443}, Address: "127.0.0.1", Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	cmd := &cobra.Command{
		Use: "ingress", Short: "Configure nginx from the cluster's Ingresses", Hidden: true,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.Run(cmd.Context()) },
	}
	cmd.Flags().StringVar(&c.Kubeconfig, "kubeconfig", "", "kubeconfig of the controller")
	cmd.Flags().StringVar(&c.Dir, "dir", "", "directory of nginx's configuration")
	return cmd
}

func newResolveCommand() *cobra.Command {
	var server string
	cmd := &cobra.Command{
		Use: "resolve NAME", Short: "Ask a DNS server for a name until it answers", Hidden: true,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return cluster.Resolve(cmd.Context(), server, args[0])
		},
	}
	cmd.Flags().StringVar(&server, "server", "", "the server, HOST:PORT")
	return cmd
}
