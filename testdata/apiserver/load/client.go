package main

import (
	"context"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fillClient writes the pod that has an address, and its node, so that a server can know who asks from there. An API server
// takes no pod on loopback, where load is sent from; what is in its etcd already it serves.
func fillClient(ctx context.Context, dir string, address netip.Addr) error {
	e, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer e.Close()
	e.objects = 1 << 33 // their UIDs are behind those of all services
	const node = "node-0000"
	e.put(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: node, Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"}}}, "minions", node)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceName(0), Name: "client"}, Spec: corev1.PodSpec{NodeName: node}}
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, address.String()
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	e.put(pod, "pods", pod.Namespace, pod.Name)
	return e.flush()
}
