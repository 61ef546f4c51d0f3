// SPDX-License-Identifier: Apache-2.0

package routes

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestLeads(t *testing.T) {
	endpoint := func(pod string, ready *bool) discoveryv1.Endpoint {
		e := discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}}
		if pod != "" {
			e.TargetRef = &corev1.ObjectReference{Kind: "Pod", Name: pod}
		}
		return e
	}
	slice := func(endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{Endpoints: endpoints}
	}
	yes, no := new(true), new(false)
	tests := []struct {
		name             string
		slices           []*discoveryv1.EndpointSlice
		leads, elsewhere bool
	}{
		{"no slices", nil, false, false},
		{"empty slice", []*discoveryv1.EndpointSlice{slice()}, false, false},
		{"the proxy", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", yes))}, true, false},
		{"the proxy, of which nothing is said", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", nil))}, true, false},
		{"the proxy isn't ready", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", no))}, false, false},
		{"another", []*discoveryv1.EndpointSlice{slice(endpoint("cart", yes))}, false, true},
		{"another, of which nothing is said", []*discoveryv1.EndpointSlice{slice(endpoint("cart", nil))}, false, true},
		{"both", []*discoveryv1.EndpointSlice{slice(endpoint("cart", yes), endpoint("proxy", yes))}, true, true},
		{"both, in two slices", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", yes)), slice(endpoint("cart", yes))}, true, true},
		{"another that isn't ready", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", yes), endpoint("cart", no))}, true, false},
		{"IPv4 and IPv6", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", yes)), slice(endpoint("proxy", yes))}, true, false},
		{"the other IP family is behind", []*discoveryv1.EndpointSlice{slice(endpoint("proxy", yes)), slice()}, true, false},
		{"no pod", []*discoveryv1.EndpointSlice{slice(endpoint("", yes))}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := leads(tt.slices, "proxy"); got != tt.leads {
				t.Errorf("leads = %v, want %v", got, tt.leads)
			}
			if got := leadsElsewhere(tt.slices, "proxy"); got != tt.elsewhere {
				t.Errorf("leadsElsewhere = %v, want %v", got, tt.elsewhere)
			}
		})
	}
}
