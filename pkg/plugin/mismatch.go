// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// mismatchError is a traffic-proxy that doesn't go with this plugin: one of the two is older. Trying again doesn't help.
type mismatchError struct{ *proxy.VersionError }

// mismatched makes a mismatchError of the tunnel's, and leaves others alone.
func mismatched(err error) error {
	if other, ok := errors.AsType[*proxy.VersionError](err); ok {
		return &mismatchError{other}
	}
	return err
}

func (e *mismatchError) Error() string {
	return fmt.Sprintf("the traffic-proxy (%s) speaks version %d of the tunnel's protocol, and this plugin (%s) version %d",
		cmp.Or(e.Program, "of an unknown version"), e.Protocol, Version, proxy.ProtocolVersion)
}

func (e *mismatchError) Unwrap() error { return e.VersionError }

// Hint says which of the two to change.
func (e *mismatchError) Hint() string {
	image := proxyImage(proxyRepository, Version, ProxyDigest)
	if e.Protocol < proxy.ProtocolVersion {
		return "the traffic-proxy's image is older than this plugin: have --proxy-image and " + proxyImageEnv + " lead to " + image
	}
	return "the traffic-proxy's image is newer than this plugin: update the plugin with 'kubectl krew upgrade velo', or have --proxy-image and " +
		proxyImageEnv + " lead to " + image
}

// isFinal reports whether a tunnel can't be opened however often it is tried.
func isFinal(err error) bool {
	return errors.Is(err, proxy.ErrRejected) || errors.Is(err, proxy.ErrVersion)
}
