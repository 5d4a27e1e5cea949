//! The annotations that the agent writes to a pod about its group: ACK's names, so that scripts and bills find them.
//!
//! They come from what is known without asking for it: the request and its answer, and the full record of a group where one
//! was read anyway (init containers, a restart of the agent). Nothing is guessed.

use std::collections::BTreeMap;

use crate::annotations as names;
use crate::request::CreateContainerGroup;
use crate::sizes::Size;

/// Where a group is and what it is made of; an empty text is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// `ZoneId`.
    pub zone_id: String,
    /// `VpcId`.
    pub vpc_id: String,
    /// `VSwitchId`.
    pub vswitch_id: String,
    /// `SecurityGroupId`.
    pub security_group_id: String,
    /// `EniInstanceId`.
    pub eni_instance_id: String,
    /// `InternetIp`.
    pub internet_ip: String,
    /// `Ipv6Address`.
    pub ipv6_address: String,
    /// `InstanceType`, where the group was bought by it.
    pub instance_type: String,
    /// `ComputeCategory`.
    pub compute_category: String,
    /// Id of the public address that the pod named.
    pub eip_instance_id: String,
    /// Id of the image cache that the pod named.
    pub image_cache_id: String,
    /// Whether it is on the spot market (`SpotStrategy`).
    pub is_spot: bool,
}

impl Whereabouts {
    /// What `request` itself decides: a vSwitch only where there is no choice, for example.
    pub fn of(request: &CreateContainerGroup) -> Self {
        let only = |list: &[String]| match list {
            [one] => one.clone(),
            _ => String::new(),
        };
        let eip = match &request.options.network.eip {
            Some(crate::request::Eip::Bind(id)) => id.clone(),
            _ => String::new(),
        };
        Self {
            zone_id: request.zone_id.clone(),
            vswitch_id: only(&request.vswitch_ids),
            security_group_id: request.security_group_id.clone(),
            instance_type: request.instance_type.clone().unwrap_or_default(),
            compute_category: only(&request.options.machine.compute_categories),
            eip_instance_id: eip,
            image_cache_id: request.options.images.image_snapshot_id.clone().unwrap_or_default(),
            is_spot: request.spot_strategy.is_some(),
            ..Self::default()
        }
    }

    /// With what `seen` (the group's own record) knows better.
    pub fn updated(mut self, seen: &Self) -> Self {
        let Self {
            zone_id,
            vpc_id,
            vswitch_id,
            security_group_id,
            eni_instance_id,
            internet_ip,
            ipv6_address,
            instance_type: _, // The record fills it in for groups that were bought by size, too.
            compute_category,
            eip_instance_id,
            image_cache_id,
            is_spot,
        } = seen;
        self.is_spot |= is_spot;
        for (mine, theirs) in [
            (&mut self.zone_id, zone_id),
            (&mut self.vpc_id, vpc_id),
            (&mut self.vswitch_id, vswitch_id),
            (&mut self.security_group_id, security_group_id),
            (&mut self.eni_instance_id, eni_instance_id),
            (&mut self.internet_ip, internet_ip),
            (&mut self.ipv6_address, ipv6_address),
            (&mut self.compute_category, compute_category),
            (&mut self.eip_instance_id, eip_instance_id),
            (&mut self.image_cache_id, image_cache_id),
        ] {
            if !theirs.is_empty() {
                mine.clone_from(theirs);
            }
        }
        self
    }
}

/// What is known of a pod's group.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its id.
    pub group_id: &'a str,
    /// `RequestId` of the call that made it; empty = not known.
    pub request_id: &'a str,
    /// The size that is billed.
    pub size: Option<Size>,
    /// Where it is.
    pub whereabouts: &'a Whereabouts,
    /// Whether the pod runs, so that no other group will be made for it.
    pub running: bool,
}

/// The annotations to write.
pub fn annotations(known: Known<'_>) -> BTreeMap<&'static str, String> {
    let Known {
        group_id,
        request_id,
        size,
        whereabouts: at,
        running,
    } = known;
    let mut all = BTreeMap::new();
    let mut set = |name: &'static str, value: &str| {
        if !value.is_empty() {
            all.insert(name, value.to_owned());
        }
    };
    set(names::INSTANCE_ID, group_id);
    set(names::REQUEST_ID, request_id);
    if let Some(size) = size {
        let (cpu, memory) = (size.cpu.as_vcpu(), size.memory.as_gib());
        set(names::INSTANCE_CPU, &format!("{cpu:?}"));
        set(names::INSTANCE_MEM, &format!("{memory:?}"));
        // What is billed: the size, or the instance type where the group was bought by it.
        set(names::INSTANCE_SPEC, &format!("{cpu:?}-{memory:?}Gi"));
    }
    set(names::INSTANCE_SPEC, &at.instance_type);
    set(names::INSTANCE_ZONE, &at.zone_id);
    set(names::COMPUTE_CATEGORY_USED, &at.compute_category);
    set(names::VPC, &at.vpc_id);
    if running {
        // Found on a pod that is created again, these two would be wishes.
        set(names::VSWITCH, &at.vswitch_id);
        set(names::SECURITY_GROUP, &at.security_group_id);
    }
    set(names::ENI_INSTANCE_ID, &at.eni_instance_id);
    set(names::ALLOCATED_EIP_INSTANCE_ID, &at.eip_instance_id);
    set(names::ALLOCATED_EIP_ADDRESS, &at.internet_ip);
    set(names::ALLOCATED_IPV6_ADDRESS, &at.ipv6_address);
    set(names::MATCHED_IMAGE_CACHE, &at.image_cache_id);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{MiB, MilliCpu};

    const SIZE: Size = Size {
        cpu: MilliCpu(2000),
        memory: MiB(4096),
    };

    fn known(whereabouts: &Whereabouts) -> Known<'_> {
        Known {
            group_id: "eci-1",
            request_id: "r-1",
            size: Some(SIZE),
            whereabouts,
            running: true,
        }
    }

    #[test]
    fn what_is_not_known_is_not_written() {
        let nothing = Whereabouts::default();
        let written = annotations(known(&nothing));
        let expected = [
            (names::INSTANCE_CPU, "2.0"),
            (names::INSTANCE_ID, "eci-1"),
            (names::INSTANCE_MEM, "4.0"),
            (names::INSTANCE_SPEC, "2.0-4.0Gi"),
            (names::REQUEST_ID, "r-1"),
        ];
        assert_eq!(written, expected.map(|(name, value)| (name, value.to_owned())).into());
    }

    #[test]
    fn a_group_bought_by_type_is_billed_by_it() {
        let request = CreateContainerGroup {
            instance_type: Some("ecs.c6.large".into()),
            vswitch_ids: vec!["vsw-1".into()],
            security_group_id: "sg-1".into(),
            ..CreateContainerGroup::default()
        };
        let written = annotations(known(&Whereabouts::of(&request)));
        assert_eq!(written[names::INSTANCE_SPEC], "ecs.c6.large");
        assert_eq!(
            (&*written[names::VSWITCH], &*written[names::SECURITY_GROUP]),
            ("vsw-1", "sg-1")
        );
        let at = Whereabouts::of(&request);
        let waits = Known {
            running: false,
            ..known(&at)
        };
        assert!(!annotations(waits).contains_key(names::VSWITCH));
    }

    #[test]
    fn the_record_of_a_group_knows_better_but_for_the_type() {
        let request = CreateContainerGroup {
            vswitch_ids: vec!["vsw-1".into(), "vsw-2".into()],
            ..CreateContainerGroup::default()
        };
        let seen = Whereabouts {
            zone_id: "h".into(),
            vpc_id: "vpc-1".into(),
            vswitch_id: "vsw-2".into(),
            security_group_id: "sg-1".into(),
            eni_instance_id: "eni-1".into(),
            internet_ip: "47.99.0.1".into(),
            ipv6_address: "2001:db8::1".into(),
            instance_type: "ecs.c6.large".into(),
            compute_category: "economy".into(),
            ..Whereabouts::default()
        };
        let at = Whereabouts::of(&request).updated(&seen);
        let written = annotations(known(&at));
        assert_eq!(written[names::INSTANCE_SPEC], "2.0-4.0Gi");
        for (name, value) in [
            (names::INSTANCE_ZONE, "h"),
            (names::VPC, "vpc-1"),
            (names::VSWITCH, "vsw-2"),
            (names::ENI_INSTANCE_ID, "eni-1"),
            (names::ALLOCATED_EIP_ADDRESS, "47.99.0.1"),
            (names::ALLOCATED_IPV6_ADDRESS, "2001:db8::1"),
            (names::COMPUTE_CATEGORY_USED, "economy"),
        ] {
            assert_eq!(written[name], value);
        }
    }
}
