// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"sync"
	"time"
)

// briefCut is how long the tunnel may be without a connection before that is worth telling.
const briefCut = time.Second

// noticeInterval is how often the same thing is told again at most.
const noticeInterval = 5 * time.Second

// waitingFor returns a function that shows what a pod waits for. It may be called from several goroutines.
func waitingFor(p *progress) func(string) {
	return func(what string) { p.says("waiting for traffic-proxy: %s", what) }
}

// warnOfNoGrant says what it means that the user may not let the traffic-proxy restore the Service by itself.
func (s *session) warnOfNoGrant() {
	s.report.warns("you may not create Roles in namespace %s: if this session dies, callers go on to their pods, but only "+
		"'kubectl velo restore' puts the selector of service/%s back; 'kubectl velo rbac' prints what is missing", s.namespace, s.name)
}

// cuts returns a function that tells when the tunnel has lost its last connection, and when it is back.
func cuts(r *report) func(connected bool) {
	var mu sync.Mutex
	var since time.Time
	var told bool
	var brief *time.Timer
	return func(connected bool) {
		mu.Lock()
		defer mu.Unlock()
		if !connected {
			since = time.Now()
			brief = time.AfterFunc(briefCut, func() {
				mu.Lock()
				defer mu.Unlock()
				if !since.IsZero() {
					told = true
					r.warns("the tunnel is cut: what is open in it waits, and new connections go to the cluster")
				}
			})
			return
		}
		if brief != nil {
			brief.Stop()
		}
		if told {
			r.is("the tunnel goes on, after %v", time.Since(since).Round(100*time.Millisecond))
		}
		since, told = time.Time{}, false
	}
}

// refusals returns a function that counts the connections that local processes refuse and tells from time to time.
func (s *session) refusals() func(address string, err error) {
	var mu sync.Mutex
	counts := make(map[string]int)
	told := make(map[string]time.Time)
	return func(address string, _ error) {
		mu.Lock()
		defer mu.Unlock()
		counts[address]++
		if time.Since(told[address]) < noticeInterval {
			return
		}
		if count := counts[address]; count == 1 {
			s.report.warns("%s refused a connection; it went to the cluster", address)
		} else {
			s.report.warns("%s refused %d connections; they went to the cluster", address, count)
		}
		counts[address] = 0
		told[address] = time.Now()
	}
}
