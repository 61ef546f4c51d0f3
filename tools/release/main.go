// SPDX-License-Identifier: Apache-2.0

// Command velo-release makes what belongs to a release beside GoReleaser's archives: the traffic-proxy's image, the SBOMs, the
// krew manifest. The same input makes the same bytes: nothing of the time, the machine or the order of files gets in.
//
// The Makefile's targets call it; see docs/release.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-velo/kubectl-velo/tools/release/internal/image"
	"github.com/kubectl-velo/kubectl-velo/tools/release/internal/krew"
	"github.com/kubectl-velo/kubectl-velo/tools/release/internal/sbom"
)

func main() {
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:          "velo-release",
		Short:        "Make the image, the SBOMs and the krew manifest of a release",
		SilenceUsage: true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(imageCommand(), pushCommand(), sbomCommand(), krewCommand())
	if err := root.ExecuteContext(ctx); err != nil {
		return 1
	}
	return 0
}

func imageCommand() *cobra.Command {
	var spec image.Spec
	var created int64
	var out string
	cmd := &cobra.Command{
		Use:   "image ARCH=PROGRAM...",
		Short: "Write a multi-platform image of one program, as an OCI archive, and print its digest",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Created = time.Unix(created, 0).UTC()
			for _, arg := range args {
				arch, path, ok := strings.Cut(arg, "=")
				if !ok {
					return fmt.Errorf("%q is not of the form ARCH=PROGRAM", arg)
				}
				spec.Programs = append(spec.Programs, image.Program{Architecture: arch, Path: path})
			}
			digest, err := image.Write(spec, out)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), digest)
			return err
		},
	}
	cmd.Flags().StringVar(&spec.Name, "name", "", "path of the program in the image's root, and its title")
	cmd.Flags().StringVar(&spec.Description, "description", "", "one sentence about it")
	cmd.Flags().StringVar(&spec.Source, "source", "", "URL of its sources")
	cmd.Flags().StringVar(&spec.Version, "version", "", "version of the release, and name of the image in the archive")
	cmd.Flags().StringVar(&spec.Revision, "revision", "", "commit that it is made of")
	cmd.Flags().StringVar(&spec.License, "license", "LICENSE", "file with its licence")
	cmd.Flags().Int64Var(&created, "created", 0, "when it was made, in seconds since 1970: the commit's time")
	cmd.Flags().StringVarP(&out, "output", "o", "", "archive to write")
	return cmd
}

func pushCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "push ARCHIVE REPOSITORY:TAG",
		Short: "Push an OCI archive's image to a registry, as it is, and print its reference with the digest",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference, err := image.Push(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), reference)
			return err
		},
	}
}

func sbomCommand() *cobra.Command {
	var version string
	var created int64
	cmd := &cobra.Command{
		Use:   "sbom PROGRAM DOCUMENT",
		Short: "Write a CycloneDX SBOM of a Go program, from what the compiler has written into it",
		Args:  cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return sbom.Write(args[0], args[1], version, time.Unix(created, 0).UTC())
		},
	}
	cmd.Flags().StringVar(&version, "version", "", "version of the release")
	cmd.Flags().Int64Var(&created, "created", 0, "time in the document, in seconds since 1970: the commit's")
	return cmd
}

func krewCommand() *cobra.Command {
	var template, tag, dist string
	cmd := &cobra.Command{
		Use:   "krew",
		Short: "Print the krew manifest of the archives in a directory, checked against the rules of krew and its index",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			manifest, err := krew.Render(filepath.Clean(template), tag, dist)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(manifest)
			return err
		},
	}
	cmd.Flags().StringVar(&template, "template", ".krew.yaml", "template that the release bot takes as well")
	cmd.Flags().StringVar(&tag, "tag", "", "tag of the release")
	cmd.Flags().StringVar(&dist, "dist", "dist/plugin", "directory of the archives")
	return cmd
}
