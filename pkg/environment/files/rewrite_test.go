// SPDX-License-Identifier: Apache-2.0

package files

import (
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	tree := &Tree{
		dir:     "/tmp/s",
		carried: []Mount{{Path: "/cert.pem"}, {Path: "/config"}, {Path: "/etc/app"}, {Path: "/etc/app/cache/kept"}},
		left:    []NotCarried{{Path: "/data"}, {Path: "/config"}, {Path: "/etc/app/cache"}},
	}
	tests := []struct{ name, value, want string }{
		{"empty", "", ""},
		{"no path", "etc/app", "etc/app"},
		{"the mount", "/etc/app", "<>/etc/app"},
		{"with a slash", "/etc/app/", "<>/etc/app/"},
		{"below it", "/etc/app/a/b.yaml", "<>/etc/app/a/b.yaml"},
		{"a single file", "/cert.pem", "<>/cert.pem"},
		{"carried in part", "/config/x", "<>/config/x"},
		{"a longer name", "/etc/apple", "/etc/apple"},
		{"a longer name's file", "/etc/app.d/x", "/etc/app.d/x"},
		{"above it", "/etc", "/etc"},
		{"not carried", "/data/x", "/data/x"},
		{"hidden by what isn't carried", "/etc/app/cache/x", "/etc/app/cache/x"},
		{"within that, carried", "/etc/app/cache/kept/x", "<>/etc/app/cache/kept/x"},
		{"not the shortest form", "/etc//app/./x", "<>/etc/app/x"},
		{"out of it again", "/etc/app/../passwd", "/etc/app/../passwd"},
		{"into it", "/srv/../etc/app/x", "<>/etc/app/x"},
		{"a list", "/usr/lib:/etc/app:/etc/apple:/etc/app/x:", "/usr/lib:<>/etc/app:/etc/apple:<>/etc/app/x:"},
		{"a list with relative paths", ".:./a/b:/etc/app", ".:./a/b:<>/etc/app"},
		{"a list with empty ones", "::/etc/app", "::<>/etc/app"},
		{"a file URL", "file:///etc/app/x", "file://<>/etc/app/x"},
		{"a file URL without a host", "file:/etc/app/x", "file:<>/etc/app/x"},
		{"a file URL elsewhere", "file:///etc/apple", "file:///etc/apple"},
		{"a file URL with a host", "file://host/etc/app/x", "file://host/etc/app/x"},
		{"a file URL with a host of such a name", "file://etc/app/x", "file://etc/app/x"},
		{"a URL without a scheme", "//etc/app/x", "//etc/app/x"},
		{"a file URL within another", "jar:file:/etc/app/x.jar!/y", "jar:file:<>/etc/app/x.jar!/y"},
		{"a list of URLs", "file:/etc/app/,classpath:/config/,file:/config/", "file:<>/etc/app/,classpath:/config/,file:<>/config/"},
		{"a URL", "http://host/etc/app", "http://host/etc/app"},
		{"a URL with a port", "http://host:80/etc/app/x", "http://host:80/etc/app/x"},
		{"a URL with a password", "postgres://u:p@h:5432/config?a=/etc/app", "postgres://u:p@h:5432/config?a=/etc/app"},
		{"a URL without a host", "unix:///etc/app/s", "unix:///etc/app/s"},
		{"a URL of another kind", "classpath:/config/x", "classpath:/config/x"},
		{"within a text", "see /etc/app", "see /etc/app"},
		{"an option", "--config=/etc/app/x", "--config=/etc/app/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.ReplaceAll(tt.want, "<>", "/tmp/s")
			if got := tree.Rewrite(tt.value); got != want {
				t.Errorf("Rewrite(%q) = %q, want %q", tt.value, got, want)
			}
		})
	}
}
