//! Lists, pages, metadata, discovery.

use ferroflow_testkit::objects::config_map;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{
    Api, Discovery, ResourceExt,
    api::{ListParams, PostParams},
    discovery::{Scope, verbs},
};

use crate::bed::{Bed, refusal};

async fn fill(bed: &Bed, count: usize) -> Api<ConfigMap> {
    let maps: Api<ConfigMap> = bed.api();
    for number in 0..count {
        let mut map = config_map(&format!("map-{number:02}"), "number", &number.to_string());
        let parity = if number % 2 == 0 { "even" } else { "odd" };
        map.labels_mut().extend([("parity".to_owned(), parity.to_owned()), ("case".to_owned(), bed.namespace.clone())]);
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    maps
}

fn names<K: ResourceExt>(items: &[K]) -> Vec<String> {
    // kube-root-ca.crt comes by itself.
    items.iter().map(ResourceExt::name_any).filter(|name| !name.starts_with("kube-")).collect()
}

pub async fn a_list_selects_by_label_field_and_namespace(bed: &Bed) {
    let maps = fill(bed, 4).await;
    let everywhere: Api<ConfigMap> = Api::all(bed.client.clone());
    let case = format!("case={}", bed.namespace);
    let rows = [
        (&maps, ListParams::default(), vec!["map-00", "map-01", "map-02", "map-03"]),
        (&maps, ListParams::default().labels("parity=even"), vec!["map-00", "map-02"]),
        (&maps, ListParams::default().labels("parity notin (even),case"), vec!["map-01", "map-03"]),
        (&maps, ListParams::default().fields("metadata.name=map-01"), vec!["map-01"]),
        (
            &maps,
            ListParams::default().fields("metadata.name!=map-01").labels("parity"),
            vec!["map-00", "map-02", "map-03"],
        ),
        (&everywhere, ListParams::default().labels(&case), vec!["map-00", "map-01", "map-02", "map-03"]),
        (&everywhere, ListParams::default().labels(&case).fields("metadata.namespace=default"), vec![]),
    ];
    for (api, params, expect) in rows {
        assert_eq!(names(&api.list(&params).await.unwrap().items), expect, "{params:?}");
    }
    let (code, message) = refusal(maps.list(&ListParams::default().labels("parity in even")).await);
    assert_eq!(code, 400, "{message}");
    let (code, message) = refusal(maps.list(&ListParams::default().fields("data.number=1")).await);
    assert_eq!((code, message.starts_with("\"data.number\" is not a known field selector")), (400, true), "{message}");
}

pub async fn a_metadata_list_carries_names_without_data(bed: &Bed) {
    let maps = fill(bed, 2).await;
    let list = maps.list_metadata(&ListParams::default().labels("parity")).await.unwrap();
    assert_eq!(names(&list.items), ["map-00", "map-01"]);
    assert_eq!(list.items[0].labels()["parity"], "even");
    let one = maps.get_metadata("map-01").await.unwrap();
    assert_eq!(one.labels()["parity"], "odd");
}

pub async fn pages_join_to_the_whole_list(bed: &Bed) {
    let maps = fill(bed, 7).await;
    let whole = maps.list(&ListParams::default().labels("parity")).await.unwrap();
    let mut params = ListParams::default().limit(3);
    let mut joined = Vec::new();
    let mut versions = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        assert!(page.items.len() <= 3);
        joined.extend(names(&page.items));
        versions.push(page.metadata.resource_version.clone());
        // Written between the pages, and in none of them.
        let late = config_map(&format!("map-99-{}", versions.len()), "late", "yes");
        maps.create(&PostParams::default(), &late).await.unwrap();
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = ListParams::default().limit(3).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(joined, names(&whole.items));
    assert!(versions.windows(2).all(|pair| pair[0] == pair[1]), "all pages are of one revision: {versions:?}");
}

pub async fn a_page_token_that_is_no_token_is_refused(bed: &Bed) {
    let maps: Api<ConfigMap> = bed.api();
    let (code, message) = refusal(maps.list(&ListParams::default().limit(1).continue_token("nonsense")).await);
    assert_eq!(code, 400);
    assert!(message.starts_with("invalid continue token: continue key is not valid"), "{message}");
}

pub async fn discovery_lists_groups_and_subresources(bed: &Bed) {
    let discovery = Discovery::new(bed.client.clone()).run().await.unwrap();
    let (resource, capabilities) = discovery
        .groups()
        .flat_map(|group| group.recommended_resources())
        .find(|(resource, _)| resource.kind == "Deployment" && resource.group == "apps")
        .expect("apps has deployments");
    assert_eq!((resource.plural.as_str(), capabilities.scope.clone()), ("deployments", Scope::Namespaced));
    assert!(capabilities.supports_operation(verbs::PATCH));
    let mut subresources: Vec<&str> =
        capabilities.subresources.iter().map(|(resource, _)| resource.plural.as_str()).collect();
    subresources.sort_unstable();
    assert_eq!(subresources, ["scale", "status"]);
    let aggregated = Discovery::new(bed.client.clone()).run_aggregated().await.unwrap();
    let count =
        |discovery: &Discovery| discovery.groups().map(|group| group.recommended_resources().len()).sum::<usize>();
    assert_eq!(count(&aggregated), count(&discovery));
    let version = bed.client.apiserver_version().await.unwrap();
    assert_eq!(version.major, "1");
    let secrets: Api<Secret> = bed.api();
    assert_eq!(refusal(secrets.get("none").await), (404, "secrets \"none\" not found".to_owned()));
    assert!(secrets.get_opt("none").await.unwrap().is_none());
}
