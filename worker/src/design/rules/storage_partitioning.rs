use std::collections::HashSet;

use super::{Findings, Rule, Subject, each_part, quoted};
use crate::design::model::{Storage, StorageDevice};

/// A device is either partitioned or a physical volume, and every volume group has a physical volume.
pub(super) const RULE: Rule =
    Rule { code: "DD2002", name: "storage_partitioning", title: "Storage Partitioning", check };

fn check(subject: &Subject<'_>, found: &mut Findings) {
    each_part(subject.compiled, |node| &node.settings.storage, judge, found);
}

fn judge(storage: &Storage, found: &mut Findings) {
    for device in &storage.physical_devices {
        use_of(device, found);
    }
    let partitions = storage.physical_devices.iter().flat_map(|device| &device.partitions);
    let by_partition = partitions.filter_map(|partition| partition.volume_group.as_deref());
    let by_device = storage.physical_devices.iter().filter_map(|device| device.volume_group.as_deref());
    let fed: HashSet<&str> = by_device.chain(by_partition).collect();
    for group in storage.volume_groups.iter().filter(|group| !fed.contains(&*group.name)) {
        let error = found.error(format!("the volume group {} has no physical volume", quoted(&group.name)));
        found.push(error.remedy("name it as the volume_group of a device or a partition"));
    }
}

fn use_of(device: &StorageDevice, found: &mut Findings) {
    let name = quoted(&device.name);
    match (&device.volume_group, device.partitions.is_empty()) {
        (Some(_), false) => {
            let error = found.error(format!("the device {name} has both a volume group and partitions"));
            found.push(error.remedy("remove one of them"));
        }
        (None, true) => {
            let error = found.error(format!("the device {name} has neither a volume group nor partitions"));
            found.push(error.remedy("give it one of them, or remove the device"));
        }
        _ => {}
    }
    for partition in &device.partitions {
        if partition.filesystem.fstype.is_some() && partition.volume_group.is_some() {
            let partition = quoted(&partition.name);
            let error = found.error(format!("the partition {partition} has both a filesystem and a volume group"));
            found.push(error.remedy("remove one of them"));
        }
    }
}
