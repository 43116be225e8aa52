//! What a child makes of its parent's settings: one rule for scalars, lists, maps and lists of named members each.
//!
//! Without a parent the same rules strip the entries that begin with `!`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::design::model::{
    Filesystem, HostSettings, Interface, Labels, LogicalVolume, Oob, Partition, Storage, StorageDevice, Text,
    VolumeGroup,
};
use crate::design::units::Written;

/// Bytes of lists and maps that inheritance may write for one design: a child that adds to a list gets a copy of it,
/// so a few documents could otherwise fill any memory. 50,000 nodes that each change an interface take 60 MiB.
pub(super) const EFFECTIVE_BYTES_MAX: usize = 256 << 20;

/// The child's settings with what it inherits; `spent` grows by the bytes written.
pub(super) fn inherited(child: &HostSettings, parent: Option<&HostSettings>, spent: &mut usize) -> HostSettings {
    let mut merge = Merge { spent };
    HostSettings {
        host_profile: child.host_profile.clone(),
        hardware_profile: scalar(&child.hardware_profile, parent.map(|parent| &parent.hardware_profile)),
        primary_network: scalar(&child.primary_network, parent.map(|parent| &parent.primary_network)),
        oob: merge.oob(&child.oob, parent.map(|parent| &parent.oob)),
        storage: merge.storage(&child.storage, parent.map(|parent| &parent.storage)),
        interfaces: match parent {
            Some(parent) if child.interfaces.is_empty() => parent.interfaces.clone(),
            _ => merge.members(&child.interfaces, parent.map_or(&[], |parent| &parent.interfaces)).into(),
        },
        image: scalar(&child.image, parent.map(|parent| &parent.image)),
        kernel: scalar(&child.kernel, parent.map(|parent| &parent.kernel)),
        kernel_params: merge.shared_map(&child.kernel_params, parent.map(|parent| &parent.kernel_params)),
        tags: match parent {
            Some(parent) if child.tags.is_empty() => parent.tags.clone(),
            _ => merge.list(&child.tags, parent.map_or(&[], |parent| &parent.tags)).into(),
        },
        owner_data: merge.shared_map(&child.owner_data, parent.map(|parent| &parent.owner_data)),
        rack: scalar(&child.rack, parent.map(|parent| &parent.rack)),
    }
}

/// A value that may be written `!`, which unsets it.
trait Scalar: Clone {
    fn unsets(&self) -> bool;
}

impl Scalar for Text {
    fn unsets(&self) -> bool {
        &**self == "!"
    }
}

impl<T: Clone> Scalar for Written<T> {
    fn unsets(&self) -> bool {
        self.text.unsets()
    }
}

/// The child's if it is set, nothing if that is `!`, otherwise the parent's.
fn scalar<T: Scalar>(child: &Option<T>, parent: Option<&Option<T>>) -> Option<T> {
    match child {
        Some(value) if value.unsets() => None,
        Some(value) => Some(value.clone()),
        None => parent.cloned().flatten(),
    }
}

/// A member of a list whose members are known by name.
trait Named: Sized {
    fn name(&self) -> &str;
    /// The member with what it inherits from the parent's of the same name.
    fn inherit(&self, parent: Option<&Self>, merge: &mut Merge<'_>) -> Self;
}

struct Merge<'s> {
    spent: &'s mut usize,
}

impl Merge<'_> {
    fn spend<T>(&mut self, values: usize) {
        *self.spent = self.spent.saturating_add(values.saturating_mul(size_of::<T>()));
    }

    /// The child's entries without those that begin with `!`, then the parent's that are neither among them nor
    /// cancelled.
    fn list(&mut self, child: &[Text], parent: &[Text]) -> Vec<Text> {
        let mut seen: HashSet<&str> = HashSet::new();
        let mut list = Vec::new();
        for entry in child {
            match entry.strip_prefix('!') {
                Some(cancelled) => {
                    seen.insert(cancelled);
                }
                None => {
                    seen.insert(entry);
                    list.push(entry.clone());
                }
            }
        }
        list.extend(parent.iter().filter(|entry| !seen.contains(&***entry)).cloned());
        self.spend::<Text>(list.len());
        list
    }

    /// The parent's entries that no `!key` of the child cancels, overlaid with the child's.
    fn map(&mut self, child: &Labels, parent: Option<&Labels>) -> Labels {
        let mut map = parent.cloned().unwrap_or_default();
        for key in child.keys() {
            if let Some(cancelled) = key.strip_prefix('!') {
                map.remove(cancelled);
            }
        }
        let own = child.iter().filter(|(key, _)| !key.starts_with('!'));
        map.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        self.spend::<(Text, Text)>(map.len());
        map
    }

    fn shared_map(&mut self, child: &Arc<Labels>, parent: Option<&Arc<Labels>>) -> Arc<Labels> {
        match parent {
            Some(parent) if child.is_empty() => parent.clone(),
            None if !child.keys().any(|key| key.starts_with('!')) => child.clone(),
            _ => Arc::new(self.map(child, parent.map(|parent| &**parent))),
        }
    }

    /// The parent's members in their order: without those that the child has as `!name`, merged with the child's of
    /// their name; then the child's other members.
    fn members<T: Named>(&mut self, child: &[T], parent: &[T]) -> Vec<T> {
        let mut own: HashMap<&str, Vec<&T>> = HashMap::new();
        for member in child {
            own.entry(member.name()).or_default().push(member);
        }
        let cancelled: HashSet<&str> = child.iter().filter_map(|member| member.name().strip_prefix('!')).collect();
        let inherited: HashSet<&str> = parent.iter().map(Named::name).collect();
        let mut members = Vec::new();
        for above in parent.iter().filter(|above| !cancelled.contains(above.name())) {
            match own.get(above.name()) {
                Some(own) => own.iter().for_each(|member| members.push(member.inherit(Some(above), self))),
                // A compiled parent has nothing to strip, so this is a copy.
                None => members.push(above.inherit(None, self)),
            }
        }
        let new = child.iter().filter(|member| !inherited.contains(member.name()) && !member.name().starts_with('!'));
        for member in new {
            members.push(member.inherit(None, self));
        }
        self.spend::<T>(members.len());
        members
    }

    fn oob(&mut self, child: &Arc<Oob>, parent: Option<&Arc<Oob>>) -> Arc<Oob> {
        match parent {
            Some(parent) if **child == Oob::default() => parent.clone(),
            _ => Arc::new(Oob {
                kind: scalar(&child.kind, parent.map(|parent| &parent.kind)),
                parameters: self.map(&child.parameters, parent.map(|parent| &parent.parameters)),
            }),
        }
    }

    fn storage(&mut self, child: &Arc<Storage>, parent: Option<&Arc<Storage>>) -> Arc<Storage> {
        let (devices, groups) = parent
            .map_or((&[][..], &[][..]), |above| (above.physical_devices.as_slice(), above.volume_groups.as_slice()));
        match parent {
            Some(parent) if **child == Storage::default() => parent.clone(),
            _ => Arc::new(Storage {
                physical_devices: self.members(&child.physical_devices, devices),
                volume_groups: self.members(&child.volume_groups, groups),
            }),
        }
    }
}

impl Named for Interface {
    fn name(&self) -> &str {
        &self.name
    }

    fn inherit(&self, parent: Option<&Interface>, merge: &mut Merge<'_>) -> Interface {
        Interface {
            name: self.name.clone(),
            device_link: scalar(&self.device_link, parent.map(|parent| &parent.device_link)),
            slaves: merge.list(&self.slaves, parent.map_or(&[], |parent| &parent.slaves)),
            networks: merge.list(&self.networks, parent.map_or(&[], |parent| &parent.networks)),
            sriov: self.sriov.or(parent.and_then(|parent| parent.sriov)),
            selectors: Vec::new(),
        }
    }
}

impl Named for StorageDevice {
    fn name(&self) -> &str {
        &self.name
    }

    fn inherit(&self, parent: Option<&StorageDevice>, merge: &mut Merge<'_>) -> StorageDevice {
        StorageDevice {
            name: self.name.clone(),
            labels: merge.map(&self.labels, parent.map(|parent| &parent.labels)),
            volume_group: scalar(&self.volume_group, parent.map(|parent| &parent.volume_group)),
            partitions: merge.members(&self.partitions, parent.map_or(&[], |parent| &parent.partitions)),
        }
    }
}

impl Named for Partition {
    fn name(&self) -> &str {
        &self.name
    }

    fn inherit(&self, parent: Option<&Partition>, merge: &mut Merge<'_>) -> Partition {
        Partition {
            name: self.name.clone(),
            size: scalar(&self.size, parent.map(|parent| &parent.size)),
            part_uuid: scalar(&self.part_uuid, parent.map(|parent| &parent.part_uuid)),
            volume_group: scalar(&self.volume_group, parent.map(|parent| &parent.volume_group)),
            bootable: self.bootable.or(parent.and_then(|parent| parent.bootable)),
            labels: merge.map(&self.labels, parent.map(|parent| &parent.labels)),
            filesystem: filesystem(&self.filesystem, parent.map(|parent| &parent.filesystem)),
        }
    }
}

impl Named for VolumeGroup {
    fn name(&self) -> &str {
        &self.name
    }

    fn inherit(&self, parent: Option<&VolumeGroup>, merge: &mut Merge<'_>) -> VolumeGroup {
        let above = parent.map_or(&[][..], |parent| &parent.logical_volumes);
        VolumeGroup {
            name: self.name.clone(),
            vg_uuid: scalar(&self.vg_uuid, parent.map(|parent| &parent.vg_uuid)),
            logical_volumes: merge.members(&self.logical_volumes, above),
        }
    }
}

impl Named for LogicalVolume {
    fn name(&self) -> &str {
        &self.name
    }

    fn inherit(&self, parent: Option<&LogicalVolume>, _: &mut Merge<'_>) -> LogicalVolume {
        LogicalVolume {
            name: self.name.clone(),
            lv_uuid: scalar(&self.lv_uuid, parent.map(|parent| &parent.lv_uuid)),
            size: scalar(&self.size, parent.map(|parent| &parent.size)),
            filesystem: filesystem(&self.filesystem, parent.map(|parent| &parent.filesystem)),
        }
    }
}

/// Each of its values is a scalar of what it lies on.
fn filesystem(child: &Filesystem, parent: Option<&Filesystem>) -> Filesystem {
    Filesystem {
        mountpoint: scalar(&child.mountpoint, parent.map(|parent| &parent.mountpoint)),
        fstype: scalar(&child.fstype, parent.map(|parent| &parent.fstype)),
        mount_options: scalar(&child.mount_options, parent.map(|parent| &parent.mount_options)),
        fs_uuid: scalar(&child.fs_uuid, parent.map(|parent| &parent.fs_uuid)),
        fs_label: scalar(&child.fs_label, parent.map(|parent| &parent.fs_label)),
    }
}
