// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func addresses(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// Connections spread over the addresses of the family that comes first, and fall back to the others.
func TestInTurn(t *testing.T) {
	t.Parallel()
	all := addresses("10.0.0.1", "10.0.0.2", "10.0.0.3", "fd00::1", "10.0.0.4")
	first := make(map[netip.Addr]int)
	for range 300 {
		order := inTurn(all)
		first[order[0]]++
		if !order[3].Is6() || order[4] != all[4] {
			t.Fatalf("in this order: %v", order)
		}
		if sorted := slices.SortedFunc(slices.Values(order[:3]), netip.Addr.Compare); !slices.Equal(sorted, all[:3]) {
			t.Fatalf("tries %v", order)
		}
	}
	if len(first) != 3 {
		t.Errorf("begins only with %v", first)
	}
}

// A name is looked up once for all who ask at the same time and for a while after, and anew when its addresses are no good.
func TestResolver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var lookups atomic.Int32
		r := newResolver()
		r.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
			time.Sleep(time.Millisecond)
			return addresses("192.0.2." + strconv.Itoa(int(lookups.Add(1)))), nil
		}
		resolves := func(host, want string) {
			found, err := r.resolve(t.Context(), host)
			if err != nil || !slices.Equal(found, addresses(want)) {
				t.Errorf("%s is %v (%v), want %s", host, found, err, want)
			}
		}
		resolves("::1", "::1")
		var asking sync.WaitGroup
		for range 10 {
			asking.Go(func() { resolves("web", "192.0.2.1") })
		}
		asking.Wait()
		time.Sleep(resolvedFor - time.Millisecond)
		resolves("web", "192.0.2.1")
		time.Sleep(time.Millisecond)
		resolves("web", "192.0.2.2")
		r.forget("web")
		resolves("web", "192.0.2.3")
		for i := range 2 * maxResolved {
			r.keep(strconv.Itoa(i), nil)
		}
		if len(r.known) > maxResolved {
			t.Errorf("it keeps %d names", len(r.known))
		}
	})
}

// Whoever asks first may leave; whoever else waits for the answer gets it.
func TestResolverLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newResolver()
		r.lookup = func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			time.Sleep(2 * time.Millisecond)
			return addresses("192.0.2.1"), ctx.Err()
		}
		leaving, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		var asking sync.WaitGroup
		asking.Go(func() {
			if _, err := r.resolve(leaving, "web"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who has left gets %v", err)
			}
		})
		synctest.Wait()
		if found, err := r.resolve(t.Context(), "web"); err != nil || len(found) != 1 {
			t.Errorf("who stays gets %v, %v", found, err)
		}
		asking.Wait()
	})
}
