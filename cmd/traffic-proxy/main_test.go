// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/proxy"
)

func TestParsePort(t *testing.T) {
	tests := []struct {
		value string
		want  proxy.Port
		ok    bool
	}{
		{"tcp/8080:80", proxy.Port{Network: "tcp", Container: 8080, Service: 80}, true},
		{"udp/5353:53", proxy.Port{Network: "udp", Container: 5353, Service: 53}, true},
		{"tcp/65535:1", proxy.Port{Network: "tcp", Container: 65535, Service: 1}, true},
		{value: ""},
		{value: "tcp"},
		{value: "8080:80"},
		{value: "tcp/8080"},
		{value: "tcp/:80"},
		{value: "tcp/8080:"},
		{value: "tcp/8080:80:80"},
		{value: "tcp/65536:80"},
		{value: "tcp/8080:-1"},
		{value: "sctp/8080:80"},
		{value: "TCP/8080:80"},
	}
	for _, tt := range tests {
		t.Run(tt.value, func(t *testing.T) {
			got, err := parsePort(tt.value)
			if got != tt.want || (err == nil) != tt.ok || err != nil && !errors.Is(err, errPort) {
				t.Errorf("parsePort = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}
