// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package plugin

import "github.com/kubectl-velo/kubectl-velo/pkg/dependency"

// holder would name the process that has a port; this system doesn't tell.
func holder(dependency.Protocol, uint16) string { return "" }
