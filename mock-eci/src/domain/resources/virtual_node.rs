//! Alibaba's managed virtual nodes: kept and listed; they become Ready by the clock and run nothing.

use jiff::Timestamp;

use super::{
    Account, Common, CommonChange, Events, Kind, Refused, STEP, planned_failure,
    store::{Item, Record},
};
use crate::timers::after;

/// `Status` of a virtual node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is being made.
    Pending,
    /// It could take pods.
    Ready,
    /// It could not be made.
    Failed,
}

impl Status {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Ready, Self::Failed];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Ready => "Ready",
            Self::Failed => "Failed",
        }
    }
}

/// What a virtual node is made with, as far as descriptions show it.
#[derive(Clone, Debug, Default)]
pub struct VirtualNodeSpec {
    /// `VirtualNodeName`; empty = its id.
    pub name: String,
    /// `SecurityGroupId`.
    pub security_group_id: String,
    /// `VSwitchId`, the first of those given.
    pub vswitch_id: String,
    /// `EnablePublicNetwork` or `EipInstanceId`.
    pub public: bool,
    /// What all have.
    pub common: Common,
}

/// What an update changes.
#[derive(Clone, Debug, Default)]
pub struct VirtualNodeChange {
    /// `VirtualNodeName`.
    pub name: Option<String>,
    /// What all have.
    pub common: CommonChange,
}

/// A virtual node.
#[derive(Clone, Debug)]
pub struct VirtualNode {
    /// See [`VirtualNodeSpec`].
    pub name: String,
    /// See [`VirtualNodeSpec`].
    pub security_group_id: String,
    /// See [`VirtualNodeSpec`].
    pub vswitch_id: String,
    /// Where it is.
    pub status: Status,
    /// `IntranetIp`, once it is Ready.
    pub intranet_ip: String,
    /// `InternetIp`, once it is Ready and if it has one.
    pub internet_ip: String,
    /// The addresses it will have.
    addresses: (String, String),
    /// What happened.
    pub events: Events,
}

impl Record for VirtualNode {
    fn step(item: &mut Item<Self>, at: Timestamp) {
        let failure = planned_failure(&item.tags).map(str::to_owned);
        let node = &mut item.record;
        if node.status != Status::Pending {
            return;
        }
        match failure {
            Some(reason) => {
                node.status = Status::Failed;
                node.events
                    .add(true, &reason, "the virtual node could not be made (simulated)", at);
            }
            None => {
                node.status = Status::Ready;
                (node.intranet_ip, node.internet_ip) = node.addresses.clone();
                node.events.add(false, "Ready", "the virtual node is ready", at);
            }
        }
    }
}

impl Account {
    /// Makes a virtual node and gives its id.
    ///
    /// # Errors
    /// [`Refused::Quota`].
    pub fn create_virtual_node(&mut self, spec: VirtualNodeSpec, now: Timestamp) -> Result<String, Refused> {
        if self.virtual_nodes.len() >= self.quotas.virtual_nodes {
            return Err(Refused::Quota(Kind::VirtualNode));
        }
        let place = self.virtual_nodes.len();
        let (high, low) = (place / 250, place % 250 + 2);
        // 192.0.2.0/24 and its like are set aside for examples: nobody is reached there by mistake.
        let internet = format!("198.51.{}.{low}", 100 + high % 100);
        let record = VirtualNode {
            name: spec.name,
            security_group_id: spec.security_group_id,
            vswitch_id: spec.vswitch_id,
            status: Status::Pending,
            intranet_ip: String::new(),
            internet_ip: String::new(),
            addresses: (
                format!("10.208.{high}.{low}"),
                if spec.public { internet } else { String::new() },
            ),
            events: Events::default(),
        };
        let mut item = self.item(Kind::VirtualNode, spec.common, record, now);
        if item.record.name.is_empty() {
            item.record.name.clone_from(&item.id);
        }
        item.step_at = Some(after(now, STEP));
        let id = item.id.clone();
        self.virtual_nodes.add(item);
        self.arm(Kind::VirtualNode, &id);
        Ok(id)
    }

    /// Changes a virtual node.
    ///
    /// # Errors
    /// [`Refused::NotFound`], [`Refused::TooManyTags`].
    pub fn update_virtual_node(&mut self, id: &str, change: VirtualNodeChange, now: Timestamp) -> Result<(), Refused> {
        let item = self
            .virtual_nodes
            .get_mut(id)
            .ok_or_else(|| Refused::NotFound(Kind::VirtualNode, id.to_owned()))?;
        change.common.apply(item, now)?;
        if let Some(name) = change.name {
            item.record.name = name;
        }
        Ok(())
    }

    /// Forgets a virtual node.
    ///
    /// # Errors
    /// [`Refused::NotFound`].
    pub fn delete_virtual_node(&mut self, id: &str) -> Result<(), Refused> {
        match self.virtual_nodes.remove(id) {
            Some(_) => Ok(()),
            None => Err(Refused::NotFound(Kind::VirtualNode, id.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Quotas;

    #[test]
    fn it_becomes_ready_with_an_address() {
        let mut account = Account::new(1, Quotas::DOCUMENTED);
        let spec = VirtualNodeSpec {
            public: true,
            ..VirtualNodeSpec::default()
        };
        let id = account.create_virtual_node(spec, Timestamp::UNIX_EPOCH).expect("room");
        let node = &account.virtual_nodes.get(&id).expect("there").record;
        assert_eq!((node.status, node.intranet_ip.as_str()), (Status::Pending, ""));
        assert_eq!(node.name, id, "a name of its own where none is given");
        account.advance(after(Timestamp::UNIX_EPOCH, STEP));
        let node = &account.virtual_nodes.get(&id).expect("there").record;
        assert_eq!(node.status, Status::Ready);
        assert!(!node.intranet_ip.is_empty() && !node.internet_ip.is_empty());
    }
}
