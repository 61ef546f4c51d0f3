// SPDX-License-Identifier: Apache-2.0

package work

import (
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kubectl-velo/kubectl-velo/test/bench/internal/server"
)

func TestLoad(t *testing.T) {
	var connections atomic.Int64
	s := httptest.NewServer(server.Handler("pod", false, &connections))
	defer s.Close()
	for _, test := range []struct {
		load    Load
		figures []string
	}{
		{Load{Kind: kindDownload, Count: 1, Bytes: 3 << 20, For: time.Minute}, []string{Rate}},
		{Load{Kind: kindDownload, Count: 4, Bytes: 1000, For: time.Minute}, []string{Rate}},
		{Load{Kind: kindUpload, Bytes: 3 << 20, For: time.Minute}, []string{Rate}},
		{Load{Kind: kindFresh, Count: 3}, []string{P50}},
		{
			Load{Kind: kindLatency, Bytes: 1 << 30, For: 100 * time.Millisecond},
			[]string{AddedP50, AddedP99, IdleP50, IdleP99},
		},
		{Load{Kind: kindIdle, Count: 100}, nil},
		{Load{Kind: KindServed}, nil},
	} {
		t.Run(test.load.Kind, func(t *testing.T) {
			test.load.URL = s.URL
			got, err := test.load.Do(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Errors != 0 || len(got.Figures) != len(test.figures) {
				t.Errorf("it came to %+v", got)
			}
			for _, name := range test.figures {
				if value, ok := got.Figures[name]; !ok || value == 0 {
					t.Errorf("figure %s is %v", name, value)
				}
			}
			if test.load.Kind == KindServed && got.By != "pod" {
				t.Errorf("served by %q", got.By)
			}
		})
	}
}

// A transfer that takes too long counts as far as it came.
func TestLoadLimit(t *testing.T) {
	var connections atomic.Int64
	s := httptest.NewServer(server.Handler("pod", false, &connections))
	defer s.Close()
	load := Load{Kind: kindDownload, URL: s.URL, Count: 2, Bytes: 1 << 50, For: 200 * time.Millisecond}
	if got, err := load.Do(t.Context()); err != nil || got.Figures[Rate] == 0 {
		t.Errorf("it came to %+v, %v", got, err)
	}
}

func TestLoadRefused(t *testing.T) {
	var connections atomic.Int64
	s := httptest.NewServer(server.Handler("origin", true, &connections))
	defer s.Close()
	for _, kind := range []string{kindDownload, kindUpload, kindFresh, kindLatency, KindServed, "juggle"} {
		load := Load{Kind: kind, URL: s.URL, Count: 1, Bytes: 10, For: time.Second}
		if got, err := load.Do(t.Context()); err == nil {
			t.Errorf("%s came to %+v", kind, got)
		}
	}
}
