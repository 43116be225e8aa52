use std::collections::HashMap;
use std::sync::Arc;

use crate::design::model::{Design, DeviceAlias, HardwareProfile, HostSettings, Interface, Labels, Selector, Text};

/// What a kernel parameter begins with that takes its value from the hardware profile.
const REFERENCE: &str = "hardwareprofile:";

/// Looks up in hardware profiles what nodes refer to. Parts that nodes share are looked up once for each profile.
pub(super) struct Hardware<'d> {
    profiles: Vec<(&'d HardwareProfile, HashMap<&'d str, &'d DeviceAlias>)>,
    interfaces: Memo<[Interface]>,
    kernel_params: Memo<Labels>,
}

/// What became of a shared part, by its address and the hardware profile. The part is kept, so that its address stays
/// its own.
type Memo<T> = HashMap<(*const (), usize), (Arc<T>, Arc<T>)>;

impl<'d> Hardware<'d> {
    pub(super) fn new(design: &'d Design) -> Hardware<'d> {
        let profiles = design.hardware_profiles.iter().map(|profile| {
            let interfaces = profile.device_aliases.iter().filter(|alias| &*alias.bus_type == "pci");
            (profile, interfaces.map(|alias| (&*alias.name, alias)).collect())
        });
        Hardware { profiles: profiles.collect(), interfaces: Memo::new(), kernel_params: Memo::new() }
    }

    /// Gives each slave its selector and each kernel parameter its value. Returns what refers to nothing.
    pub(super) fn equip(&mut self, settings: &mut HostSettings, profile: usize) -> Vec<String> {
        self.select(&mut settings.interfaces, profile);
        self.substitute(&mut settings.kernel_params, profile)
    }

    fn select(&mut self, interfaces: &mut Arc<[Interface]>, profile: usize) {
        let aliases = &self.profiles[profile].1;
        if let Some(own) = Arc::get_mut(interfaces) {
            return own.iter_mut().for_each(|interface| interface.selectors = selectors(interface, aliases));
        }
        let (_, equipped) = self.interfaces.entry((Arc::as_ptr(interfaces).cast(), profile)).or_insert_with(|| {
            let equipped = interfaces
                .iter()
                .map(|interface| Interface { selectors: selectors(interface, aliases), ..interface.clone() });
            (interfaces.clone(), equipped.collect())
        });
        *interfaces = equipped.clone();
    }

    fn substitute(&mut self, params: &mut Arc<Labels>, profile: usize) -> Vec<String> {
        if !params.values().any(|value| value.starts_with(REFERENCE)) {
            return Vec::new();
        }
        let key = (Arc::as_ptr(params).cast(), profile);
        if let Some((_, substituted)) = self.kernel_params.get(&key) {
            *params = substituted.clone();
            return Vec::new();
        }
        let mut unknown = Vec::new();
        let hardware = self.profiles[profile].0;
        let substituted = Arc::new(
            params
                .iter()
                .map(|(name, value)| (name.clone(), self::value(name, value, hardware, &mut unknown)))
                .collect::<Labels>(),
        );
        if Arc::strong_count(params) > 1 {
            self.kernel_params.insert(key, (params.clone(), substituted.clone()));
        }
        *params = substituted;
        unknown
    }
}

fn selectors(interface: &Interface, aliases: &HashMap<&str, &DeviceAlias>) -> Vec<Selector> {
    let selector = |slave: &Text| match aliases.get(&**slave) {
        Some(alias) => Selector::Address { address: alias.address.clone(), device_type: alias.dev_type.clone() },
        None => Selector::Name { name: slave.clone() },
    };
    interface.slaves.iter().map(selector).collect()
}

/// The value of a parameter; as written if it refers to nothing.
fn value(name: &str, written: &Text, hardware: &HardwareProfile, unknown: &mut Vec<String>) -> Text {
    let Some(reference) = written.strip_prefix(REFERENCE) else { return written.clone() };
    referred(reference, hardware).unwrap_or_else(|| {
        unknown.push(format!("kernel parameter {name} refers to {written}, which {} does not have", hardware.name));
        written.clone()
    })
}

/// `cpuset.<set>`, `hugepages.<conf>.size` or `hugepages.<conf>.count`
fn referred(reference: &str, hardware: &HardwareProfile) -> Option<Text> {
    let (kind, rest) = reference.split_once('.')?;
    match kind {
        "cpuset" => hardware.cpu_sets.get(rest).cloned(),
        "hugepages" => {
            let (configuration, field) = rest.rsplit_once('.')?;
            let hugepages = hardware.hugepages.get(configuration)?;
            match field {
                "size" => Some(hugepages.size.clone()),
                "count" => Some(hugepages.count.to_string().into()),
                _ => None,
            }
        }
        _ => None,
    }
}
