// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"cmp"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const (
	proxyRepository = "ghcr.io/kubectl-velo/traffic-proxy"
	proxyImageEnv   = "VELO_PROXY_IMAGE"
)

// minGrace is more than a tunnel takes to be found dead and opened again.
const minGrace = 10 * time.Second

// proxyOptions are about a session's traffic-proxy.
type proxyOptions struct {
	// Bound to flags.
	proxyImage string
	timeout    time.Duration
	grace      time.Duration
}

// addFlags says of --grace what the cluster does after it.
func (o *proxyOptions) addFlags(flags *pflag.FlagSet, afterGrace string) {
	flags.StringVar(&o.proxyImage, "proxy-image", "", "image of the traffic-proxy, or the repository that it is mirrored to (default $"+proxyImageEnv+", or "+proxyRepository+" of this version)")
	flags.DurationVar(&o.timeout, "timeout", time.Minute, "how long everything may take to be ready")
	flags.DurationVar(&o.grace, "grace", 30*time.Second, "how long the cluster waits for a session it doesn't hear from before it "+afterGrace)
	inGroup(flags, groupProxy, "proxy-image", "timeout", "grace")
}

func (o *proxyOptions) validate() error {
	switch {
	case o.timeout <= 0:
		return usageErrorf("--timeout must be more than 0")
	case o.grace < minGrace:
		return usageErrorf("--grace must be at least %v", minGrace)
	}
	o.proxyImage = proxyImage(cmp.Or(o.proxyImage, os.Getenv(proxyImageEnv), proxyRepository), Version, ProxyDigest)
	return nil
}

// proxyImage returns the image that a reference stands for. One without a tag or a digest is a repository, which has the image
// of this version: so a mirror is named once, for every version to come.
func proxyImage(reference, version, digest string) string {
	// What has a colon before the last slash is a registry with its port.
	if strings.ContainsAny(path.Base(reference), ":@") {
		return reference
	}
	reference += ":" + version
	if digest != "" {
		reference += "@" + digest
	}
	return reference
}
