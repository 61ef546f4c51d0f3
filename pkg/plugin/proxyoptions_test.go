// SPDX-License-Identifier: Apache-2.0

package plugin

import "testing"

func TestProxyImage(t *testing.T) {
	const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
	tests := []struct {
		name, reference, digest, want string
	}{
		{"this version's", proxyRepository, digest, proxyRepository + ":v1.2.3@" + digest},
		{"one that was never released", proxyRepository, "", proxyRepository + ":v1.2.3"},
		{"a mirror", "registry.internal:5000/velo/traffic-proxy", digest, "registry.internal:5000/velo/traffic-proxy:v1.2.3@" + digest},
		{"a tag", "registry.internal:5000/traffic-proxy:v1", digest, "registry.internal:5000/traffic-proxy:v1"},
		{"a digest", "traffic-proxy@" + digest, digest, "traffic-proxy@" + digest},
		{"both", "ghcr.io/a/b:v1@" + digest, "sha256:0", "ghcr.io/a/b:v1@" + digest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := proxyImage(tt.reference, "v1.2.3", tt.digest); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}
