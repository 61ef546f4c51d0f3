// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

func pkiPath(file string) string { return statePath("pki", file) }

// writeCredentials makes all keys, certificates and kubeconfigs of a new cluster.
func (c *Cluster) writeCredentials(laptopAPI string) error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(statePath("pki"), 0o700); err != nil {
		return err
	}
	account, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	accountKey, err := encodeKey(account)
	if err != nil {
		return err
	}
	accountPublic, err := x509.MarshalPKIXPublicKey(account.Public())
	if err != nil {
		return err
	}
	err = errors.Join(
		writeFile(pkiPath("ca.crt"), ca.pem, 0o600),
		writeFile(pkiPath("service-account.key"), accountKey, 0o600),
		writeFile(pkiPath("service-account.pub"), encodePEM("PUBLIC KEY", accountPublic), 0o600),
	)
	if err != nil {
		return err
	}

	for file, hosts := range map[string][]string{
		"apiserver": {
			"localhost", "127.0.0.1", nodeIP, serviceIP, "kubernetes", "kubernetes.default",
			"kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		},
		"kubelet-serving": {nodeName, nodeIP},
	} {
		p, err := ca.server(file, hosts...)
		if err != nil {
			return err
		}
		if err := p.write(file); err != nil {
			return err
		}
	}
	toKubelet, err := ca.client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return err
	}
	if err := toKubelet.write("apiserver-kubelet-client"); err != nil {
		return err
	}

	inside := "https://" + net.JoinHostPort(nodeIP, strconv.Itoa(apiPort))
	for _, u := range []struct {
		user   string
		groups []string
		server string
		file   string
	}{
		{"system:kube-controller-manager", nil, inside, pkiPath("kube-controller-manager.conf")},
		{"system:kube-scheduler", nil, inside, pkiPath("kube-scheduler.conf")},
		{"system:kube-proxy", nil, inside, pkiPath("kube-proxy.conf")},
		{"system:node:" + nodeName, []string{"system:nodes"}, inside, pkiPath("kubelet.conf")},
		{"ingress-nginx", nil, inside, pkiPath("ingress.conf")},
		{"kubernetes-admin", []string{"system:masters"}, laptopAPI, c.Kubeconfig()},
	} {
		p, err := ca.client(u.user, u.groups...)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(u.file, u.server, ca.pem, u.user, p); err != nil {
			return err
		}
	}
	return nil
}

func (p pair) write(file string) error {
	return errors.Join(
		writeFile(pkiPath(file+".crt"), p.cert, 0o600),
		writeFile(pkiPath(file+".key"), p.key, 0o600),
	)
}

// writeKubeconfig writes a kubeconfig that needs no other file.
func writeKubeconfig(file, server string, ca []byte, user string, p pair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: ca}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: p.cert, ClientKeyData: p.key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("writing %s: %w", file, err)
	}
	return writeFile(file, data, 0o600)
}
