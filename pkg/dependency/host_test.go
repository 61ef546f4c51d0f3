// SPDX-License-Identifier: Apache-2.0

package dependency

import (
	"strconv"
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	tests := []struct {
		value, want string
		err         string // part of it
	}{
		{value: "orders", want: "orders:8080"},
		{value: "Orders.shop.", want: "orders.shop:8080"},
		{value: "cart", want: "cart:80 cart:9090"},
		{value: "cart:9090", want: "cart:9090"},
		{value: "website", want: "website:80"},
		{value: "orders:9999", want: "orders:9999!"},
		{value: "orders.shop.svc.cluster.local:8080", want: "orders.shop.svc.cluster.local:8080"},
		{value: "kafka-0.kafka", want: "kafka-0.kafka:9092"},
		{value: "10.96.0.7", want: "10.96.0.7:8080"},
		{value: "fd00::7", want: "[fd00::7]:8080"},
		{value: "[fd00::7]", want: "[fd00::7]:8080"},
		{value: "[fd00::8]:443", want: "[fd00::8]:443"},
		{value: "203.0.113.5:443", want: "203.0.113.5:443"},
		{value: "db.example.com:5432", want: "db.example.com:5432"},
		{value: "db.example.com:5432/udp", want: "db.example.com:5432/udp"},
		{value: "db.example.com:53", want: "db.example.com:53 db.example.com:53/udp"},
		{value: "db.example.com:53/tcp", want: "db.example.com:53"},
		{value: "kube-dns.kube-system", want: "kube-dns.kube-system:53 kube-dns.kube-system:53/udp kube-dns.kube-system:9153"},
		{value: "statsd", want: "statsd:8125/udp"},
		{value: "pg.vault.svc:5432", want: "pg.vault.svc:5432!"},
		{value: "billing:443", want: "billing:443"},

		{value: "", err: "is no host"},
		{value: "db.example.com", err: "no service that can be seen from here: want HOST:PORT"},
		{value: "pg.vault.svc", err: "no service that can be seen from here: want HOST:PORT"},
		{value: "billing", err: "service shop/billing lists no ports: want HOST:PORT"},
		{value: "fd00::8", err: "want HOST:PORT"},
		{value: "fd00::8:443:", err: "IPv6 addresses in brackets"},
		{value: "orders:", err: `"" is no port number`},
		{value: "orders:0", err: `"0" is no port number`},
		{value: "orders:65536", err: `"65536" is no port number`},
		{value: "orders:http", err: `"http" is no port number`},
		{value: "orders:8080/sctp", err: `"sctp" is no protocol`},
		{value: "orders/udp", err: "says nothing without a port"},
		{value: "http://orders", err: "is no protocol"},
		{value: "or ders:80", err: "is no host"},
		{value: ":80", err: "is no host"},
		{value: "a:b:80", err: "in brackets"},
	}
	for _, test := range tests {
		t.Run(test.value, func(t *testing.T) {
			got, err := ParseHost(test.value, shop())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.HasPrefix(err.Error(), strconv.Quote(test.value)) {
					t.Errorf("ParseHost = %+v, %v; want an error with %q", got, err, test.err)
				}
				return
			}
			if err != nil || listed(got) != test.want {
				t.Errorf("ParseHost = %s, %v; want %s", listed(got), err, test.want)
			}
		})
	}
}

// What is taken has a host and a port, and can be written again.
func FuzzParseHost(f *testing.F) {
	for _, value := range []string{"orders", "orders:8080", "[fd00::7]:8080/udp", "fd00::7", "a.b.c.svc:1", "x:53", "", "[", "[]:1", "a%b:1", "::1%eth0"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		list, err := ParseHost(value, shop())
		if err != nil {
			return
		}
		for _, d := range list {
			again, err := ParseHost(hostPort(d.Host, d.Port)+"/"+string(d.Protocol), shop())
			if err != nil || len(again) != 1 || again[0].endpoint() != d.endpoint() {
				t.Fatalf("%q is %+v, and that is %+v, %v", value, d, again, err)
			}
		}
	})
}

func TestMergeFoundAndAsked(t *testing.T) {
	found := Find(variables("A=http://orders.shop:8080"), shop())
	more, err := ParseHost("orders", shop())
	if err != nil {
		t.Fatal(err)
	}
	merged := Merge(found, more)
	if len(merged) != 1 || merged[0].Host != "orders" || len(merged[0].Names) != 2 || len(merged[0].Evidence) != 2 {
		t.Errorf("got %+v", merged)
	}
	if found[0].Host != "orders.shop" || len(found[0].Names) != 1 {
		t.Errorf("what was merged has changed: %+v", found)
	}
}

func TestDrop(t *testing.T) {
	dependencies := Find(variables("A=http://orders:8080 http://orders.shop.svc:8080 http://cart cart:9090 kafka-0.kafka:9092 db.data:5432 db:5432 [fd00::7]:8080"), shop())
	tests := []struct {
		name, drop, want string
		err              string // part of it
	}{
		{name: "none", want: "cart:80 cart:9090 db.data:5432 db:5432 kafka-0.kafka:9092 orders:8080"},
		{name: "a Service", drop: "cart", want: "db.data:5432 db:5432 kafka-0.kafka:9092 orders:8080"},
		{name: "a port of one", drop: "cart:80", want: "cart:9090 db.data:5432 db:5432 kafka-0.kafka:9092 orders:8080"},
		{name: "a Service in any namespace", drop: "db", want: "cart:80 cart:9090 kafka-0.kafka:9092 orders:8080"},
		{name: "a Service in one namespace", drop: "db.shop", want: "cart:80 cart:9090 db.data:5432 kafka-0.kafka:9092 orders:8080"},
		{name: "a host", drop: "orders.shop.svc", want: "cart:80 cart:9090 db.data:5432 db:5432 kafka-0.kafka:9092"},
		{name: "an IPv6 address", drop: "[fd00::7]:8080", want: "cart:80 cart:9090 db.data:5432 db:5432 kafka-0.kafka:9092"},
		{name: "pods of a Service", drop: "kafka", want: "cart:80 cart:9090 db.data:5432 db:5432 orders:8080"},
		{name: "several", drop: "kafka,cart,DB.data.", want: "db:5432 orders:8080"},

		{name: "a typo", drop: "ordrs", err: `"ordrs" is no dependency; did you mean orders?`},
		{name: "a wrong port", drop: "cart:81", err: "did you mean cart:80?"},
		{name: "something else", drop: "elasticsearch", err: "these are: db.data:5432, cart:80"},
		{name: "two", drop: "ordrs,crt", err: "did you mean cart?"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			if test.drop != "" {
				names = strings.Split(test.drop, ",")
			}
			got, err := Drop(dependencies, names)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("Drop = %s, %v; want an error with %q", listed(got), err, test.err)
				}
				return
			}
			if err != nil || listed(got) != test.want {
				t.Errorf("Drop = %s, %v; want %s", listed(got), err, test.want)
			}
		})
	}
	if _, err := Drop(nil, []string{"orders"}); err == nil || !strings.Contains(err.Error(), "there are none") {
		t.Errorf("Drop of none: %v", err)
	}
}
