// SPDX-License-Identifier: Apache-2.0

package plugin

import (
	"context"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/kubectl/pkg/util"
)

// serviceEvery is how often a Service that is forwarded to is read again, for its selector and its ports.
const serviceEvery = 5 * time.Second

// forwardedService is a Service whose pods are forwarded to.
type forwardedService struct {
	cluster *cluster

	mu      sync.Mutex
	service *corev1.Service
	read    time.Time
}

// find returns the pods that the Service selects. One that can't be read any more selects what it did.
func (s *forwardedService) find(ctx context.Context) ([]corev1.Pod, error) {
	service := s.current()
	if s.isOld() {
		if read, err := s.cluster.client.CoreV1().Services(s.cluster.namespace).Get(ctx, service.Name, metav1.GetOptions{}); err == nil {
			service = read
			s.renew(read)
		}
	}
	if len(service.Spec.Selector) == 0 {
		return nil, nil
	}
	pods, err := s.cluster.podsBy(ctx, labels.SelectorFromSet(service.Spec.Selector))
	if err == nil && len(pods) == 0 {
		s.doubt()
	}
	return pods, err
}

func (s *forwardedService) current() *corev1.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.service
}

func (s *forwardedService) isOld() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.read) >= serviceEvery
}

func (s *forwardedService) renew(service *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.service, s.read = service, time.Now()
}

// doubt has it read again the next time.
func (s *forwardedService) doubt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read = time.Time{}
}

// number finds a port of the Service by its number or its name. A port that has UDP only can't be forwarded.
func (s *forwardedService) number(called string) (int32, error) {
	service := s.current()
	number, err := servicePortNumber(service, called)
	if err != nil {
		return 0, err
	}
	var tcp, udp bool
	for _, declared := range service.Spec.Ports {
		if declared.Port == number {
			tcp = tcp || declared.Protocol == corev1.ProtocolTCP || declared.Protocol == ""
			udp = udp || declared.Protocol == corev1.ProtocolUDP
		}
	}
	switch {
	case udp && !tcp:
		return 0, udpError(called)
	case !tcp:
		// It says so in kubectl's words.
		_, err = util.LookupContainerPortNumberByServicePort(*service, corev1.Pod{}, number)
		return 0, err
	}
	return number, nil
}

func servicePortNumber(service *corev1.Service, called string) (int32, error) {
	number, err := strconv.ParseUint(called, 10, 16)
	if err != nil {
		return util.LookupServicePortNumberByName(*service, called)
	}
	return int32(number), nil
}

func (s *forwardedService) remote(called string) (remotePort, error) {
	number, err := s.number(called)
	if err != nil {
		return remotePort{}, err
	}
	port, err := validPort(number)
	return remotePort{number: port, of: func(pod *corev1.Pod) (uint16, error) {
		container, err := util.LookupContainerPortNumberByServicePort(*s.current(), *pod, number)
		if err != nil {
			return 0, err
		}
		return validPort(container)
	}}, err
}
