// SPDX-License-Identifier: Apache-2.0

package portforward

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// It waits for a second for somebody to hear that its socket was closed before.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}
