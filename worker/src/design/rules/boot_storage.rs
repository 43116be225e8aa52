use super::{Findings, Rule, Subject, each_part, quoted, reason};
use crate::design::model::{Partition, Storage};
use crate::design::units::{Amount, Size};

/// A node has a partition named `root` that holds a system, and if it has one named `boot`, that holds kernels.
///
/// Only the names of partitions count: neither mountpoints nor a logical volume do.
pub(super) const RULE: Rule = Rule { code: "DD1001", name: "boot_storage", title: "Rational Boot Storage", check };

const ROOT_MIN_BYTES: u64 = 20_000_000_000;
const BOOT_MIN_BYTES: u64 = 1_000_000_000;

fn check(subject: &Subject<'_>, found: &mut Findings) {
    each_part(subject.compiled, |node| &node.settings.storage, judge, found);
}

fn judge(storage: &Storage, found: &mut Findings) {
    let mut has_root = false;
    for partition in storage.physical_devices.iter().flat_map(|device| &device.partitions) {
        match &*partition.name {
            "root" => has_root |= size(partition, ROOT_MIN_BYTES, "20g", found),
            "boot" => _ = size(partition, BOOT_MIN_BYTES, "1g", found),
            _ => {}
        }
    }
    if !has_root {
        found.push(
            found
                .error("no partition named root has a size")
                .remedy("add a partition named root of at least 20g to one of the node's physical_devices"),
        );
    }
}

/// Whether there is a size at all; one below the minimum is reported. A percentage may be anything: how large the
/// device is, is not known.
fn size(partition: &Partition, min_bytes: u64, min: &'static str, found: &mut Findings) -> bool {
    let name = &partition.name;
    match partition.size.as_ref().map(|size| (&size.text, size.value)) {
        None => {
            found.push(found.error(format!("partition {name} has no size")).remedy(format!("set size: {min}")));
            false
        }
        Some((text, None)) => {
            let reason = reason::<Size>(text);
            let error = found.error(format!("partition {name} has the size {}: {reason}", quoted(text)));
            found.push(error.remedy(format!("set size: {min}")));
            false
        }
        Some((text, Some(Size { amount: Amount::Bytes(bytes), .. }))) if bytes < min_bytes => {
            let error = found.error(format!("partition {name} has {text}, less than {min}"));
            found.push(error.remedy(format!("give it at least {min}")));
            true
        }
        Some(_) => true,
    }
}
