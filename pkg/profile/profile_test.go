// SPDX-License-Identifier: Apache-2.0

package profile

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	h := newHandler()
	for _, step := range []struct {
		name, method, path string
		status             int
		profile            bool
	}{
		{"none to end", http.MethodPost, "/cpu/stop", http.StatusConflict, false},
		{"begin", http.MethodPost, "/cpu/start", http.StatusNoContent, false},
		{"begin twice", http.MethodPost, "/cpu/start", http.StatusConflict, false},
		{"heap meanwhile", http.MethodGet, "/heap", http.StatusOK, true},
		{"end", http.MethodPost, "/cpu/stop", http.StatusOK, true},
		{"end twice", http.MethodPost, "/cpu/stop", http.StatusConflict, false},
		{"begin again", http.MethodPost, "/cpu/start", http.StatusNoContent, false},
		{"end again", http.MethodPost, "/cpu/stop", http.StatusOK, true},
		{"begin by looking", http.MethodGet, "/cpu/start", http.StatusMethodNotAllowed, false},
	} {
		// They follow each other on one process: no subtests.
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(step.method, step.path, http.NoBody))
		if answer.Code != step.status {
			t.Fatalf("%s: status %d, not %d: %s", step.name, answer.Code, step.status, answer.Body)
		}
		const gzip = "\x1f\x8b"
		if got := strings.HasPrefix(answer.Body.String(), gzip); got != step.profile {
			t.Errorf("%s: a profile is %v, not %v: %q", step.name, got, step.profile, answer.Body)
		}
	}
}
