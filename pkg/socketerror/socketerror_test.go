// SPDX-License-Identifier: Apache-2.0

package socketerror_test

import (
	"net"
	"testing"

	"github.com/kubectl-velo/kubectl-velo/pkg/socketerror"
)

// The system's own errors are recognized, each as one thing.
func TestOfThisSystem(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listen := func(address string) error {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
		if err == nil {
			_ = l.Close()
		}
		return err
	}
	inUse := listen(address)
	noAddress := listen("192.0.2.1:0") // of documentation (RFC 5737): no machine has it
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	conn, refused := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if refused == nil {
		_ = conn.Close()
	}
	is := map[string]func(error) bool{
		"in use": socketerror.IsInUse, "forbidden": socketerror.IsForbidden,
		"no address": socketerror.IsNoAddress, "refused": socketerror.IsRefused,
	}
	for want, err := range map[string]error{"in use": inUse, "no address": noAddress, "refused": refused} {
		if err == nil {
			t.Errorf("%s: there is no error", want)
		}
		for name, is := range is {
			if got := is(err); got != (name == want) {
				t.Errorf("%v is %s: %t, want %t", err, name, got, name == want)
			}
		}
	}
}
