//! A synthetic site of any size, as one would write it by hand: a few profiles, and nodes that say little themselves.

use std::fmt::Write;

/// Nodes in a rack.
const RACK_NODES: usize = 20;

/// The networks of the site: the name, the second octet of its `/12`, and what else its document says.
const NETWORKS: [(&str, usize, &str); 4] = [
    ("oob", 16, "  routes: []\n"),
    ("pxe", 32, "  dns: {domain: pxe.example.org}\n"),
    (
        "mgmt",
        48,
        "  vlan: '48'\n  dns: {domain: mgmt.example.org, servers: '10.48.0.2,10.48.0.3'}\n  routes:\n    - {subnet: 0.0.0.0/0, gateway: 10.48.0.1, metric: 10}\n",
    ),
    ("storage", 64, "  vlan: '64'\n  mtu: 9000\n"),
];

/// The documents of a site with this many nodes, which no rule finds fault with.
pub(crate) fn yaml(nodes: usize) -> String {
    let mut yaml = String::with_capacity(8192 + nodes * 520);
    yaml.push_str(SITE);
    for (name, octet, more) in NETWORKS {
        document(&mut yaml, "Network", name);
        write!(yaml, "  cidr: 10.{octet}.0.0/12\n{more}").expect("a string takes all");
    }
    for rack in 0..nodes.div_ceil(RACK_NODES) {
        document(&mut yaml, "Rack", &format!("rack{rack:04}"));
        let (row, place) = (rack / 10, rack % 10);
        let address = address(16, 900_000 + rack);
        write!(yaml, "  location: {{clli: SITE1, grid: '{row}-{place}'}}\n  local_networks: [pxe]\n  tor_switches:\n    switch{rack:04}: {{mgmt_ip: {address}, sdn_api_uri: 'https://sdn.example.org'}}\n")
            .expect("a string takes all");
    }
    for node in 0..nodes {
        write_node(&mut yaml, node);
    }
    yaml
}

fn document(yaml: &mut String, kind: &str, name: &str) {
    write!(yaml, "---\nschema: drydock/{kind}/v1\nmetadata:\n  schema: metadata/Document/v1\n  name: {name}\ndata:\n")
        .expect("a string takes all");
}

fn address(octet: usize, host: usize) -> String {
    let host = host + 256;
    format!("10.{}.{}.{}", octet + host / 65536, host / 256 % 256, host % 256)
}

fn write_node(yaml: &mut String, node: usize) {
    document(yaml, "BaremetalNode", &format!("node{node:05}"));
    let profile = if node.is_multiple_of(5) { "control" } else { "compute" };
    write!(yaml, "  host_profile: {profile}\n  addressing:\n").expect("a string takes all");
    for (name, octet, _) in NETWORKS {
        writeln!(yaml, "    - {{network: {name}, address: {}}}", address(octet, node)).expect("a string takes all");
    }
    let rack = node / RACK_NODES;
    let mac = format!("52:54:{:02x}:{:02x}:{:02x}:0a", node / 65536, node / 256 % 256, node % 256);
    write!(yaml, "  metadata:\n    rack: rack{rack:04}\n    boot_mac: '{mac}'\n    tags: [row{}]\n", rack / 10)
        .expect("a string takes all");
    if node % 10 == 3 {
        write!(yaml, "  interfaces:\n    bond0:\n      slaves: ['!nic2']\n").expect("a string takes all");
    }
}

const SITE: &str = r"---
schema: drydock/Region/v1
metadata: {schema: metadata/Document/v1, name: site1}
data:
  authorized_keys: ['ssh-ed25519 AAAA example']
  tag_definitions:
    - {tag: virtual, definition_type: lshw_xpath, definition: '//node[@id=''virtual'']'}
---
schema: drydock/NetworkLink/v1
metadata: {schema: metadata/Document/v1, name: oob}
data:
  bonding: {mode: disabled}
  mtu: 1500
  trunking: {mode: disabled, default_network: oob}
  allowed_networks: [oob]
---
schema: drydock/NetworkLink/v1
metadata: {schema: metadata/Document/v1, name: pxe}
data:
  trunking: {mode: disabled, default_network: pxe}
  allowed_networks: [pxe]
---
schema: drydock/NetworkLink/v1
metadata: {schema: metadata/Document/v1, name: data}
data:
  bonding: {mode: 802.3ad, mon_rate: 100, up_delay: 1000, down_delay: 3000}
  mtu: 9000
  trunking: {mode: 802.1q}
  allowed_networks: [mgmt, storage]
---
schema: drydock/HardwareProfile/v1
metadata: {schema: metadata/Document/v1, name: server}
data:
  vendor: Example
  boot_mode: uefi
  bootstrap_protocol: pxe
  device_aliases:
    nic1: {address: '0000:08:00.0', bus_type: pci, dev_type: NIC}
    nic2: {address: '0000:09:00.0', bus_type: pci, dev_type: NIC}
    disk1: {address: '2:0.0.0', bus_type: scsi, dev_type: disk}
  cpu_sets: {dpdk: '2,3,22,23'}
  hugepages:
    dpdk: {size: 1G, count: 32}
---
schema: drydock/HostProfile/v1
metadata: {schema: metadata/Document/v1, name: defaults}
data:
  hardware_profile: server
  primary_network: mgmt
  oob: {type: ipmi, network: oob, account: admin, credential: admin}
  storage:
    physical_devices:
      disk1:
        labels: {bootdrive: 'true'}
        partitions:
          - name: root
            size: 30g
            bootable: true
            filesystem: {mountpoint: /, fstype: ext4, mount_options: defaults}
          - name: boot
            size: 1g
            filesystem: {mountpoint: /boot}
          - name: var
            size: '>300g'
            filesystem: {mountpoint: /var}
  platform:
    image: noble
    kernel: hwe-24.04
    kernel_params: {console: 'ttyS1,115200n8', quiet: true}
  interfaces:
    pxe0: {device_link: pxe, slaves: [eno1], networks: [pxe]}
    bond0: {device_link: data, slaves: [nic1, nic2], networks: [mgmt, storage]}
---
schema: drydock/HostProfile/v1
metadata: {schema: metadata/Document/v1, name: control}
data:
  host_profile: defaults
  metadata:
    tags: [control]
    owner_data: {control-plane: enabled}
---
schema: drydock/HostProfile/v1
metadata: {schema: metadata/Document/v1, name: compute}
data:
  host_profile: defaults
  metadata:
    tags: [compute]
    owner_data: {openstack-compute-node: enabled}
  platform:
    kernel_params:
      isolcpus: hardwareprofile:cpuset.dpdk
      hugepagesz: hardwareprofile:hugepages.dpdk.size
      hugepages: hardwareprofile:hugepages.dpdk.count
---
schema: drydock/BootAction/v1
metadata: {schema: metadata/Document/v1, name: hello}
data:
  assets:
    - {type: file, path: /etc/motd, permissions: '644', data: 'installed'}
---
schema: drydock/BootAction/v1
metadata: {schema: metadata/Document/v1, name: join}
data:
  signaling: false
  node_filter:
    filter_set_type: union
    filter_set:
      - {filter_type: intersection, node_tags: [control], node_labels: {control-plane: enabled}}
  assets:
    - {type: unit, path: /etc/systemd/system/join.service, data: '[Unit]'}
    - {type: pkg_list, data: {ceph-common: 18.2.4-1, jq: null}}
";
