"""``select-package`` as a KFP component: its pod is the launcher."""

from components.factory import component
from ncf.stages.select_package import SelectPackage

select_package = component(SelectPackage)
