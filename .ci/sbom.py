"""Write the bill of materials (CycloneDX, JSON) of the released package: `python .ci/sbom.py FOLDER`.

It lists what `pip install rolecall[xlsx,cluster]` needs, with the versions that are installed here:
those of the constraints.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL
from packaging.requirements import Requirement

EXTRAS = ("", "xlsx", "cluster")
"""The extras of Rolecall that users install; the empty one stands for none."""


def required(package: Distribution, extras: tuple[str, ...] = ("",)) -> Iterator[Distribution]:
    """Yield the packages that a package needs on this machine."""
    for text in package.requires or ():
        requirement = Requirement(text)
        markers = requirement.marker
        if markers is None or any(markers.evaluate({"extra": extra}) for extra in extras):
            yield distribution(requirement.name)


def closure(package: Distribution) -> dict[str, tuple[Distribution, list[str]]]:
    """Return a package and all that it needs: by name, each with the names of what it needs itself."""
    found: dict[str, tuple[Distribution, list[str]]] = {}
    left = [(package, EXTRAS)]
    while left:
        current, extras = left.pop()
        if current.name not in found:
            needs = list(required(current, extras))
            found[current.name] = (current, [each.name for each in needs])
            left += [(each, ("",)) for each in needs]
    return found


def component(package: Distribution) -> Component:
    """Return the entry of a package."""
    kind = ComponentType.APPLICATION if package.name == "rolecall" else ComponentType.LIBRARY
    purl = PackageURL("pypi", name=package.name.lower().replace("_", "-"), version=package.version)
    return Component(name=package.name, version=package.version, type=kind, purl=purl, bom_ref=str(purl))


def bill_of_materials() -> str:
    """Return the bill of materials as JSON."""
    packages = closure(distribution("rolecall"))
    entries = {name: component(package) for name, (package, _) in packages.items()}
    bom = Bom(components=[entry for name, entry in entries.items() if name != "rolecall"])
    bom.metadata.component = entries["rolecall"]
    for name, (_, needs) in packages.items():
        bom.register_dependency(entries[name], [entries[each] for each in needs])
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


if __name__ == "__main__":
    file = Path(sys.argv[1]) / f"rolecall-{distribution('rolecall').version}.cdx.json"
    file.write_text(bill_of_materials() + "\n", encoding="utf-8")
