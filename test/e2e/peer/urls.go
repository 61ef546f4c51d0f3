// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Named is who answered a URL that a variable of the environment held.
type Named struct {
	URL  string `json:"url"`
	Host string `json:"host"`
}

// urls asks the service at every URL that a variable of the environment holds, and tells by variable who answered. That
// is what a program is that finds its dependencies in its environment.
func urls(ctx context.Context, flags *flag.FlagSet, args []string) (any, error) {
	suffix := flags.String("suffix", "_URL", "end of the variables' names")
	_ = flags.Parse(args) // it exits
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answered := make(map[string]Named)
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(20)
	for i, variable := range os.Environ() {
		name, url, _ := strings.Cut(variable, "=")
		if !strings.HasSuffix(name, *suffix) {
			continue
		}
		g.Go(func() error {
			host, err := get(ctx, client, url, strconv.Itoa(i))
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			answered[name] = Named{url, host}
			return nil
		})
	}
	return answered, g.Wait()
}
