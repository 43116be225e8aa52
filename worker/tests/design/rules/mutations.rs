/// One change of the valid design.
pub(super) struct Mutation {
    /// The rule that it violates, and no other.
    pub(super) rule: &'static str,
    pub(super) what: &'static str,
    /// What stands once in the valid design, or nothing for what is added behind it.
    from: &'static str,
    to: &'static str,
}

impl Mutation {
    pub(super) fn apply(&self, valid: &str) -> String {
        if self.from.is_empty() {
            return format!("{valid}{}", self.to);
        }
        assert_eq!(valid.matches(self.from).count(), 1, "{}: {}", self.what, self.from);
        valid.replace(self.from, self.to)
    }
}

const fn change(rule: &'static str, what: &'static str, from: &'static str, to: &'static str) -> Mutation {
    Mutation { rule, what, from, to }
}

const ROOT: &str = "{name: root, size: 30g, filesystem: {mountpoint: /}}";
const BOOT: &str = "{name: boot, size: 1g, filesystem: {mountpoint: /boot}}";
const REST: &str = "{name: rest, size: '40%', volume_group: data}";
const VAR: &str = "{name: var, size: '60%', filesystem: {mountpoint: /var}}";
const OOB: &str = "{type: ipmi, network: oob, account: admin, credential: secret}";
const LIBVIRT: &str = "{type: libvirt, libvirt_uri: 'qemu+ssh://user@host/system'}";
const BOND: &str = "mon_rate: 100, up_delay: 200, down_delay: 300";
const UNTRUNKED: &str = "trunking: {mode: disabled, default_network: oob}\n  allowed_networks: [oob]";
const BOND0: &str = "{device_link: data, slaves: [eno1, eno2], networks: [mgmt, storage]}";
const PACKAGES: &str = "{type: pkg_list, data: {ceph: '1:18.2.4-1', jq: null}}";
const VIRTUAL: &str = "metadata: {boot_mac: '52:54:00:00:00:01'}";
const METAL: &str = "name: metal}";

#[rustfmt::skip]
pub(super) const MUTATIONS: &[Mutation] = &[
    change("boot_storage", "no root", ROOT, "{name: system, size: 30g, filesystem: {mountpoint: /}}"),
    change("boot_storage", "a small root", ROOT, "{name: root, size: 19999m, filesystem: {mountpoint: /}}"),
    change("boot_storage", "a root that may be small", ROOT, "{name: root, size: '>10g', filesystem: {mountpoint: /}}"),
    change("boot_storage", "a small boot", BOOT, "{name: boot, size: 953MiB, filesystem: {mountpoint: /boot}}"),
    change("boot_storage", "a small boot before root", ROOT, "{name: boot, size: 1mi}\n          - {name: root, size: 20g}"),
    change("cidr_validity", "host bits", "10.0.0.0/24", "10.0.0.128/24"),
    change("cidr_validity", "no CIDR", "10.0.0.0/24", "10.0.0.0/33"),
    change("cidr_validity", "IPv6 with host bits", "fd00:0:0:1::/64", "fd00:0:0:1::5/64"),
    change("hugepages", "no size", "{hugepagesz: 1G, hugepages: '4'}", "{hugepages: '4'}"),
    change("hugepages", "no count", "{hugepagesz: 1G, hugepages: '4'}", "{hugepagesz: 1G}"),
    change("ip_locality", "a route without gateway", "gateway: 10.0.0.1, ", ""),
    change("ip_locality", "a gateway elsewhere", "gateway: 10.0.0.1", "gateway: 10.1.0.1"),
    change("ip_locality", "a gateway that is none", "gateway: 10.0.0.1", "gateway: router"),
    change("ip_locality", "an address elsewhere", "address: 10.1.0.11", "address: 10.2.0.11"),
    change("ip_locality", "an address of the other version", "'fd00:0:0:1::11'", "10.3.0.1"),
    change("ip_locality", "an address that is none", "address: 10.1.0.11", "address: 10.1.0.256"),
    change("ip_locality", "an address in capitals that mean dhcp elsewhere", "address: dhcp", "address: DHCP"),
    change("ip_locality", "an unknown network", "{network: mgmt, address: 10.1.0.11}", "{network: lost, address: 10.1.0.11}"),
    change("mtu_rationality", "a small network", "mtu: 9000\n  dns", "mtu: 1279\n  dns"),
    change("mtu_rationality", "a small link", "data:\n  trunking: {mode: disabled", "data:\n  mtu: 1279\n  trunking: {mode: disabled"),
    change("mtu_rationality", "a large link", "mtu: 9000\n  bonding", "mtu: 65537\n  bonding"),
    change("mtu_rationality", "a negative link", "data:\n  trunking: {mode: disabled", "data:\n  mtu: -1500\n  trunking: {mode: disabled"),
    change("mtu_rationality", "a network above its link", "mtu: 9000\n  bonding", "mtu: 8999\n  bonding"),
    change("network_trunking", "two networks untrunked", UNTRUNKED, "trunking: {mode: disabled, default_network: oob}\n  allowed_networks: [oob, other]"),
    change("network_trunking", "no default network", UNTRUNKED, "trunking: {mode: disabled}\n  allowed_networks: [oob]"),
    change("network_trunking", "trunking is off by default", UNTRUNKED, "allowed_networks: [oob]"),
    change("network_trunking", "an undefined default network", UNTRUNKED, "trunking: {mode: disabled, default_network: lost}\n  allowed_networks: [oob]"),
    change("network_trunking", "an untrunked VLAN", UNTRUNKED, "trunking: {mode: disabled, default_network: storage}\n  allowed_networks: [oob]"),
    change("duplicate_ip", "two nodes", "address: dhcp", "address: 10.1.0.11"),
    change("duplicate_ip", "one node", "{network: mgmt, address: 10.1.0.11}", "{network: mgmt, address: 10.1.0.11}\n    - {network: mgmt, address: 10.1.0.11}"),
    change("duplicate_ip", "two notations", "{network: storage, address: 'fd00:0:0:1::11'}", "{network: storage, address: 'fd00:0:0:1::11'}\n    - {network: storage, address: 'FD00::1:0:0:0:11'}"),
    change("platform_selection", "an unknown image", "image: noble", "image: warty"),
    change("platform_selection", "a kernel of no image", "kernel: hwe", "kernel: old"),
    change("platform_selection", "an image without kernels", "image: noble", "image: jammy"),
    change("platform_selection", "no image", "    image: noble\n", ""),
    change("platform_selection", "no kernel", "    kernel: hwe\n", ""),
    change("network_bond", "a short up_delay", BOND, "mon_rate: 100, up_delay: 99, down_delay: 300"),
    change("network_bond", "both delays short", BOND, "mon_rate: 400, up_delay: 200, down_delay: 300"),
    change("storage_partitioning", "a device of no use", "sdb: {volume_group: more}", "sdb: {volume_group: more}\n      sdc: {}"),
    change("storage_partitioning", "a volume group without devices", "      more: {}", "      more: {}\n      third: {}"),
    change("storage_partitioning", "a group that only another node feeds", VIRTUAL, "metadata: {boot_mac: '52:54:00:00:00:01'}\n  storage: {physical_devices: {'!sdb': {}}}"),
    change("storage_partitioning", "partitions inherited by a physical volume", VIRTUAL, "metadata: {boot_mac: '52:54:00:00:00:01'}\n  storage: {physical_devices: {sda: {volume_group: data}}}"),
    change("storage_partitioning", "a filesystem inherited by a physical volume", VIRTUAL, "metadata: {boot_mac: '52:54:00:00:00:01'}\n  storage: {physical_devices: {sda: {partitions: [{name: boot, volume_group: data}]}}}"),
    change("storage_sizing", "a negative partition", REST, "{name: rest, size: '-1%', volume_group: data}"),
    change("storage_sizing", "a partition without size", REST, "{name: rest, volume_group: data}"),
    change("storage_sizing", "a partition of unknown units", REST, "{name: rest, size: 20Mb, volume_group: data}"),
    change("storage_sizing", "partitions above the whole", REST, "{name: rest, size: '40%', volume_group: data}\n          - {name: last, size: '>60%'}"),
    change("storage_sizing", "logical volumes above the whole", VAR, "{name: var, size: '61%', filesystem: {mountpoint: /var}}"),
    change("storage_sizing", "a negative logical volume", VAR, "{name: var, size: '-60%', filesystem: {mountpoint: /var}}"),
    change("storage_sizing", "a negative number of bytes", VAR, "{name: var, size: -5g, filesystem: {mountpoint: /var}}"),
    change("storage_mountpoint", "two partitions", BOOT, "{name: boot, size: 1g, filesystem: {mountpoint: /}}"),
    change("storage_mountpoint", "a partition and a logical volume", BOOT, "{name: boot, size: 1g, filesystem: {mountpoint: /var}}"),
    change("allowed_networks", "one network on two links", "allowed_networks: [mgmt, storage]", "allowed_networks: [mgmt, storage, oob]"),
    change("allowed_networks", "a network that the link does not allow", BOND0, "{device_link: data, slaves: [eno1, eno2], networks: [mgmt, oob]}"),
    change("allowed_networks", "an undefined link", BOND0, "{device_link: lost, slaves: [eno1, eno2], networks: [mgmt]}"),
    change("allowed_networks", "no link", BOND0, "{slaves: [eno1, eno2], networks: [mgmt]}"),
    change("hostname", "a double underscore", METAL, "name: me__tal}"),
    change("hostname", "an underscore in the domain", "domain: example.org", "domain: exam_ple.org"),
    change("hostname", "an empty label", "domain: example.org", "domain: example..org"),
    change("hostname", "a letter beyond ASCII", "domain: example.org", "domain: exämple.org"),
    change("hostname", "a long label", "domain: example.org", "domain: a123456789012345678901234567890123456789012345678901234567890123.org"),
    change("hostname", "a long name", "domain: example.org", "domain: a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a12345678901234567890123456789012345678901234567890123456789.a123456789"),
    change("ipmi", "no account", OOB, "{type: ipmi, network: oob, credential: secret}"),
    change("ipmi", "no credential", OOB, "{type: ipmi, network: oob, account: admin}"),
    change("ipmi", "no network", OOB, "{type: ipmi, account: admin, credential: secret}"),
    change("ipmi", "nothing", OOB, "{type: ipmi}"),
    change("ipmi", "no address", "    - {network: oob, address: 10.0.0.11}\n", ""),
    change("ipmi", "no fixed address", "{network: oob, address: 10.0.0.11}", "{network: oob, address: dhcp}"),
    change("libvirt", "no URI", LIBVIRT, "{type: libvirt}"),
    change("libvirt", "another URI", LIBVIRT, "{type: libvirt, libvirt_uri: 'qemu+tcp://user:password@host/system'}"),
    change("libvirt", "no MAC", VIRTUAL, "metadata: {}"),
    change("libvirt", "a MAC that is none", VIRTUAL, "metadata: {boot_mac: '52:54:00'}"),
    change("bootaction_target", "a node without actions", VIRTUAL, "metadata: {boot_mac: '52:54:00:00:00:01', rack: rack2}"),
    change("bootaction_packages", "neither packages nor location", PACKAGES, "{type: pkg_list, data: {}}"),
    change("bootaction_packages", "no revision", PACKAGES, "{type: pkg_list, data: {ceph: 18.2.4}}"),
    change("bootaction_packages", "an empty revision", PACKAGES, "{type: pkg_list, data: {ceph: 18.2.4-}}"),
    change("bootaction_packages", "an epoch that is no number", PACKAGES, "{type: pkg_list, data: {ceph: 'a:18.2.4-1'}}"),
    change("bootaction_packages", "an empty epoch", PACKAGES, "{type: pkg_list, data: {ceph: ':18.2.4-1'}}"),
    change("bootaction_packages", "a space", PACKAGES, "{type: pkg_list, data: {ceph: '18.2 4-1'}}"),
];
