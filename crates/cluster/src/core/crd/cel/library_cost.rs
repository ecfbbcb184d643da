//! What calls of the Kubernetes libraries can cost at most.
//!
//! Answers for functions of upstream's estimator; all others are cel-go's and are in `cost`.

use super::ast::{Kind, Literal};
use super::cost::{Coster, Estimate, Node, REGEX, TRAVERSAL};
use super::cost_size::Bounds;
use super::library;
use super::types::Type;

const MAX_NAME_PATTERN: f64 = 128.0;

impl Coster<'_> {
    /// The size of an argument as upstream's estimator sees it, which looks at the schema once more.
    fn argument_size(&self, node: &Node<'_>) -> Bounds {
        node.size.or_else(|| self.declared_size(&node.path)).unwrap_or(Bounds::UNKNOWN)
    }

    /// The estimate of a call of a Kubernetes function.
    pub(super) fn kubernetes(
        &mut self,
        function: &str,
        overload: &str,
        target: Option<&Node<'_>>,
        args: &[Node<'_>],
    ) -> Option<Estimate> {
        if let Some(factor) = library::sets_factor(overload) {
            let [left, right] = args else { return None };
            let pairs = self.argument_size(left).multiply(self.argument_size(right));
            return Some(Estimate { cost: pairs.scale(factor as f64).add(Bounds::fixed(1)), size: None });
        }
        let plain = |cost: Bounds| Some(Estimate { cost, size: None });
        let sized = |cost: Bounds, size: Bounds| Some(Estimate { cost, size: Some(size) });
        let first = args.first().map(|arg| self.argument_size(arg));
        let receiver = target.map(|target| self.argument_size(target));
        match function {
            "isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf" => {
                let target = target?;
                plain(self.list_traversal(target, receiver?))
            }
            "url" => sized(first?.scale(TRAVERSAL), first?),
            "lowerAscii" | "upperAscii" | "substring" | "trim" => sized(receiver?.scale(TRAVERSAL), receiver?),
            "replace" => {
                let with = args.get(1).map(|arg| self.argument_size(arg))?;
                sized(receiver?.scale(2.0 * TRAVERSAL), replaced_size(receiver?, first?, with))
            }
            "split" => {
                let mut max = receiver?.max;
                if let Some(Kind::Literal(Literal::Int(limit))) = args.get(1).map(|arg| &arg.expr.kind) {
                    max = *limit as u64;
                }
                sized(receiver?.scale(2.0 * TRAVERSAL), Bounds { min: 0, max })
            }
            "join" => {
                let size = self.joined_size(target?, receiver?, first);
                sized(size.scale(TRAVERSAL), size)
            }
            "find" | "findAll" => {
                let text = receiver?.add(Bounds::fixed(1)).scale(TRAVERSAL);
                sized(text.multiply(first?.scale(REGEX)), Bounds { min: 0, max: receiver?.max })
            }
            "ip" if overload == "cidr_ip" => plain(Bounds::fixed(1)),
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver" => {
                plain(first?.scale(TRAVERSAL))
            }
            "ip.isCanonical" => plain(first?.scale(2.0 * TRAVERSAL)),
            "containsIP" | "containsCIDR" => plain(contained_cost(function, overload, first?)),
            "validate" => plain(first?.scale(TRAVERSAL).scale(MAX_NAME_PATTERN * REGEX)),
            "_==_" => self.opaque_equality(args),
            name if costs_one(name) => plain(Bounds::fixed(1)),
            _ => None,
        }
    }

    fn opaque_equality(&self, args: &[Node<'_>]) -> Option<Estimate> {
        let [left, right] = args else { return None };
        let kind = self.checked.type_of(left.expr);
        if kind != self.checked.type_of(right.expr) {
            return None;
        }
        let cost = match kind.name() {
            "net.IP" | "net.CIDR" | "kubernetes.Quantity" | "kubernetes.Semver" => Bounds::fixed(1),
            "kubernetes.NamedFormat" => Bounds { min: 1, max: 64 }.scale(TRAVERSAL),
            "kubernetes.URL" => {
                let max = right.size.map_or(1, |size| size.max);
                Bounds { min: 1, max }.scale(TRAVERSAL)
            }
            _ => return None,
        };
        Some(Estimate { cost, size: None })
    }

    /// The items of a list argument: their type, and their declared size where the path is known.
    fn item_size(&self, list: &Node<'_>) -> Option<(Type, Bounds)> {
        let Type::List(items) = self.checked.type_of(list.expr) else { return None };
        let mut steps = list.path.steps();
        let size = if steps.is_empty() {
            None
        } else {
            steps.push("@items".to_owned());
            self.size_at(&steps)
        };
        Some(((**items).clone(), size.unwrap_or(Bounds::UNKNOWN)))
    }

    fn list_traversal(&self, target: &Node<'_>, size: Bounds) -> Bounds {
        match self.item_size(target) {
            Some((Type::Text | Type::Bytes, item)) => size.multiply(Bounds::fixed(1).add(item.scale(TRAVERSAL))),
            Some(_) => size.multiply(Bounds::fixed(1)),
            None => size.scale(TRAVERSAL),
        }
    }

    fn joined_size(&self, target: &Node<'_>, list: Bounds, separator: Option<Bounds>) -> Bounds {
        let mut size = self.item_size(target).map_or(Bounds::default(), |(_, item)| list.multiply(item));
        if let Some(separator) = separator {
            let count = Bounds { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
            size = size.add(separator.multiply(count));
        }
        size
    }
}

/// Functions that only read what was parsed before.
fn costs_one(function: &str) -> bool {
    matches!(
        function,
        "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery"
    )
}

fn contained_cost(function: &str, overload: &str, arg: Bounds) -> Bounds {
    let address = Bounds { min: 4, max: 16 };
    let mut cost = address.add(address).scale(TRAVERSAL);
    if function == "containsCIDR" {
        cost = cost.add(address.scale(TRAVERSAL)).add(Bounds::fixed(1));
    }
    if overload.ends_with("_string") {
        cost = cost.add(arg.scale(TRAVERSAL));
    }
    cost
}

fn replaced_size(text: Bounds, from: Bounds, to: Bounds) -> Bounds {
    let (mut count, mut kept) = (Bounds::default(), Bounds::default());
    if from.min == 0 {
        count.max = text.max.saturating_add(1);
        kept.max = text.max;
    } else if to.max <= from.min {
        kept.max = text.max;
    } else {
        count.max = (text.max as f64 / from.min as f64).ceil() as u64;
    }
    if from.max == 0 {
        count.min = text.min.saturating_add(1);
        kept.min = text.min;
    } else if from.max <= to.min {
        kept.min = text.min;
    } else {
        count.min = (text.min as f64 / from.max as f64).ceil() as u64;
    }
    count.multiply(to).add(kept)
}
