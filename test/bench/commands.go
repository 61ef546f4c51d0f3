// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/line"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/server"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/way"
	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/work"
)

var errUsage = errors.New("wrong usage") // exit code 2

// A hintError is one that a user can mend, with how.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

// The commands below bench are its own processes elsewhere: in the pod, in a network namespace, under kubectl velo.
func newCommand() *cobra.Command {
	root := new(options).newCommand()
	root.SilenceUsage, root.SilenceErrors = true, true
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return fmt.Errorf("%w: %w", errUsage, err) })
	for _, cmd := range []*cobra.Command{newServeCommand(), newLoadCommand(), newPumpCommand()} {
		root.AddCommand(profiled(cmd))
	}
	root.AddCommand(newTellCommand())
	return root
}

// profiled is a command with a profile of it, if that is wanted.
func profiled(cmd *cobra.Command) *cobra.Command {
	run := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		stop, err := profileSelf(cmd.Name())
		if err != nil {
			return err
		}
		defer stop()
		return run(cmd, args)
	}
	return cmd
}

func newServeCommand() *cobra.Command {
	var (
		listen, name string
		refuse       bool
	)
	cmd := &cobra.Command{
		Use: "serve", Short: "Be the server that is measured", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), way.Listening+listener.Addr().String())
			return server.Serve(cmd.Context(), listener, name, refuse)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address to listen on")
	cmd.Flags().StringVar(&name, "name", "", "name to answer under")
	cmd.Flags().BoolVar(&refuse, "refuse", false, "answer every request with an error")
	return cmd
}

func newLoadCommand() *cobra.Command {
	return &cobra.Command{
		Use: "load DESCRIPTION", Short: "Be the client of a work", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var load work.Load
			if err := json.Unmarshal([]byte(args[0]), &load); err != nil {
				return err
			}
			sample, err := load.Do(cmd.Context())
			if err != nil {
				return err
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(sample); err != nil {
				return err
			}
			// Whoever started it says how long what it holds is to be held; others give it no stdin.
			_, err = io.Copy(io.Discard, cmd.InOrStdin())
			return err
		},
	}
}

func newPumpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "pump SETTINGS", Short: "Carry packets between the devices that are descriptors 3 and 4", Hidden: true,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return line.Pump(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}

func newTellCommand() *cobra.Command {
	return &cobra.Command{
		Use: "tell", Short: "Tell the URL of the server that the environment names, and wait", Hidden: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), way.Told+os.Getenv("SERVER_URL"))
			<-cmd.Context().Done()
			return nil
		},
	}
}
