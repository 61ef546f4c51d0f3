// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"testing"
)

// TestVersion asks a traffic-proxy at work for its version, which goes with the plugin's and disturbs nobody.
func TestVersion(t *testing.T) {
	t.Parallel()
	e := newEnv(t, nil)
	e.deployWeb()
	v := e.intercept("web", "--port", "3002:http")
	stdout, stderr := e.velo("version", "-o", "json")
	var versions struct {
		Plugin struct {
			Version  string
			Protocol int
		}
		TrafficProxies []struct {
			Name, Namespace, Service, Version string
			Protocol                          int
			Compatible                        bool
		}
	}
	if err := json.Unmarshal([]byte(stdout), &versions); err != nil {
		t.Fatalf("%v: %s", err, stdout)
	}
	plugin, proxies := versions.Plugin, versions.TrafficProxies
	if len(proxies) != 1 || stderr != "" {
		t.Fatalf("one is intercepted, and it prints %s and says %q", stdout, stderr)
	}
	p := proxies[0]
	if p.Name != e.proxyPod() || p.Namespace != e.namespace || p.Service != "web" {
		t.Errorf("it is said to be %+v", p)
	}
	if !p.Compatible || p.Protocol != plugin.Protocol || p.Version != plugin.Version || p.Version == "" {
		t.Errorf("the plugin is %+v, and the traffic-proxy %+v", plugin, p)
	}
	v.interrupt()
}
