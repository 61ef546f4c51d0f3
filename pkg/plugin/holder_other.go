// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package plugin

import "github.com/kubectl-velo/kubectl-velo/pkg/dependency"

// holder would name the process that has a dependency's port; this system doesn't tell.
func holder(dependency.Dependency) string { return "" }
