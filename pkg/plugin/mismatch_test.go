// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

// What users are told of a traffic-proxy of another version: who is the older one, and what to do.
func TestMismatch(t *testing.T) {
	tests := []struct {
		name string
		err  proxy.VersionError
		want string
	}{
		{
			"a newer proxy",
			proxy.VersionError{Protocol: proxy.ProtocolVersion + 1, Program: "v2.0.0"},
			"error: opening the tunnel: the traffic-proxy (v2.0.0) speaks version 2 of the tunnel's protocol, and this plugin (dev) version 1\n" +
				"hint: the traffic-proxy's image is newer than this plugin: update the plugin with 'kubectl krew upgrade velo', or have " +
				"--proxy-image and VELO_PROXY_IMAGE lead to ghcr.io/kubectl-velo/traffic-proxy:dev\n",
		},
		{
			"an older proxy",
			proxy.VersionError{Protocol: proxy.ProtocolVersion - 1},
			"error: opening the tunnel: the traffic-proxy (of an unknown version) speaks version 0 of the tunnel's protocol, " +
				"and this plugin (dev) version 1\n" +
				"hint: the traffic-proxy's image is older than this plugin: have --proxy-image and VELO_PROXY_IMAGE lead to " +
				"ghcr.io/kubectl-velo/traffic-proxy:dev\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tries := 0
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := atLast(ctx, func(context.Context) error {
				tries++
				return fmt.Errorf("opening the tunnel: %w", mismatched(fmt.Errorf("dialling: %w", &tt.err)))
			})
			var out bytes.Buffer
			printError(&out, "kubectl velo intercept", err)
			if out.String() != tt.want {
				t.Errorf("got\n%swant\n%s", &out, tt.want)
			}
			if tries != 1 || !isFinal(err) {
				t.Errorf("it was tried %d times", tries)
			}
		})
	}
	if err := errors.New("the connection was reset"); !errors.Is(mismatched(err), err) || isFinal(err) {
		t.Error("another error is taken for a mismatch")
	}
}
