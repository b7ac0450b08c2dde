"""A real Kubernetes on this machine for tests: one node, from Go modules and Debian's containerd, without any image registry.

It lives in namespaces of its own (mount, network, processes, host name, IPC): the machine keeps no interface, no firewall
rule and no mount of it, nothing inside reaches out, and it ends with the first process in it.
`python -m tests.cluster.node` drives it.
"""
