// SPDX-License-Identifier: Apache-2.0

//go:build profile

package main

import "github.com/kubectl-velo/kubectl-velo/pkg/profile"

//nolint:gochecknoinits // main knows nothing of it
func init() {
	go func() { panic(profile.Serve()) }() // the build is of no use without it
}
