// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestProgress says what the traffic-proxy waits for: here, an image that a registry takes its time with.
func TestProgress(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	service, err := e.client.CoreV1().Services(e.namespace).Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// What listens there waits for its caller's end before it says anything, and for a registry nobody speaks first.
	image := service.Spec.ClusterIP + ":7001/traffic-proxy:1"
	args := e.flags([]string{"velo", "intercept", "svc/web", "--port", "3002:http", "--proxy-image", image, "--timeout", "6s"})
	pulling := fmt.Sprintf(`waiting for traffic-proxy: pulling image %q`, image)

	t.Run("in lines", func(t *testing.T) {
		out, _ := exec.CommandContext(t.Context(), "kubectl", args...).CombinedOutput()
		if said := string(out); strings.Count(said, "► "+pulling+"\n") != 1 || strings.ContainsAny(said, "\r\x1b") {
			t.Errorf("it doesn't say what it waits for, once, in plain lines: %q", said)
		}
		if said := string(out); !strings.Contains(said, "timed out after 6s; pod web-traffic-proxy-") ||
			!strings.Contains(said, fmt.Sprintf(": pulling image %q\n", image)) {
			t.Errorf("it doesn't say what it has waited for: %q", said)
		}
	})
	for name, environ := range map[string][]string{"with a spinner": {"NO_COLOR=", "TERM=xterm"}, "without colour": {"NO_COLOR=1", "TERM=xterm"}} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("script"); err != nil {
				t.Skip("there is no program here that makes a terminal: ", err)
			}
			quoted := "kubectl"
			for _, arg := range args {
				quoted += " '" + arg + "'"
			}
			cmd := exec.CommandContext(t.Context(), "script", "--quiet", "--flush", "--command", quoted, "/dev/null")
			cmd.Env = append(os.Environ(), environ...)
			out, _ := cmd.CombinedOutput()
			said := string(out)
			drawn := strings.Contains(said, "\r\x1b[K") && strings.Contains(said, "waiting for traffic-proxy: pulling image")
			plain := strings.Contains(said, "► "+pulling)
			if wanted := name == "with a spinner"; drawn != wanted || plain == wanted || strings.Contains(said, "\x1b") != wanted {
				t.Errorf("it is not shown as it should be: %q", said)
			}
		})
	}
	e.nothingLeft()
}
