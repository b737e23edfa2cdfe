"""Creates the staff groups with their permissions and ceilings.

The migration also creates the permissions themselves, because Django creates them only after the last migration.
"""

from django.db import migrations

LEDGER = [
    "creditbalance",
    "creditgrant",
    "credittransaction",
    "creditentry",
    "credithold",
    "creditpin",
    "creditrequest",
    "spendinglimit",
    "rejectedattempt",
    "feature",
    "featureprice",
]
TIERS = ["tier", "subscription", "monthlyallocation", "allocationrun"]
PEOPLE = ["user", "organization", "membership"]
CONSOLE = ["staffaction", "approvalrequest", "manualcreditceiling"]

VIEW = [
    *(f"credits.view_{model}" for model in LEDGER),
    *(f"tiers.view_{model}" for model in TIERS),
    *(f"identity.view_{model}" for model in PEOPLE),
    *(f"console.view_{model}" for model in CONSOLE),
]
SUPPORT = [
    "console.add_credits",
    "console.refund_usage",
    "console.release_hold",
    "console.allocate_month",
    "console.suspend_spending",
]
LEAD = [
    *SUPPORT,
    "console.adjust_credits",
    "console.void_grant",
    "console.extend_grant",
    "console.change_tier",
    "console.limit_spending",
    "console.approve_requests",
    "console.export_csv",
]
VALUE = ["tiers.view_recoverycost", "console.view_value", "console.export_csv"]
FINANCE = [
    *VALUE,
    "console.add_credits",
    "console.adjust_credits",
    "console.refund_usage",
    "console.reverse_purchase",
    "console.void_grant",
    "console.approve_requests",
    "console.add_manualcreditceiling",
    "console.change_manualcreditceiling",
    "credits.add_feature",
    "credits.change_feature",
    "credits.add_featureprice",
    "credits.delete_featureprice",
    "tiers.add_tier",
    "tiers.change_tier",
    "tiers.add_recoverycost",
    "tiers.delete_recoverycost",
]
AUDITOR = [*VALUE, "auth.view_group"]

# For each group: its permissions, and its ceilings per action and per day in credits (None: no ceiling).
ROLES = {
    "support": (SUPPORT, (500, 2_000)),
    "support lead": (LEAD, (5_000, 25_000)),
    "finance": (FINANCE, (50_000, 250_000)),
    "auditor": (AUDITOR, None),
}

NAMES = {
    "add_credits": "Can add credits to a balance",
    "adjust_credits": "Can adjust a balance up or down",
    "refund_usage": "Can refund usage",
    "reverse_purchase": "Can reverse a purchase",
    "void_grant": "Can void a grant",
    "extend_grant": "Can extend a grant",
    "release_hold": "Can release a hold",
    "allocate_month": "Can allocate the month of a balance",
    "limit_spending": "Can set and remove limits of a balance",
    "suspend_spending": "Can suspend and resume the spending of a balance",
    "export_csv": "Can export lists as CSV",
    "view_value": "Can see amounts in rand",
    "approve_requests": "Can approve and decline requests of others",
}
APPROVAL_PERMISSIONS = {"approve_requests"}
ACTION_PERMISSIONS = {*NAMES} - APPROVAL_PERMISSIONS


def permission_model(app, codename):
    """Return the model of a permission."""
    if codename in APPROVAL_PERMISSIONS:
        return "approvalrequest"
    # ``console.change_tier`` is a permission of staff actions, ``tiers.change_tier`` is Django's own of the tier.
    if app == "console" and (codename in ACTION_PERMISSIONS or codename == "change_tier"):
        return "staffaction"
    return codename.split("_", 1)[1]


def permission_name(app, codename, verbose_name):
    if app == "console" and codename == "change_tier":
        return "Can change the tier of a balance"
    return NAMES.get(codename) or f"Can {codename.split('_', 1)[0]} {verbose_name}"


def seed(apps, schema_editor):
    content_types = apps.get_model("contenttypes", "ContentType")
    permissions = apps.get_model("auth", "Permission")
    groups = apps.get_model("auth", "Group")
    ceilings = apps.get_model("console", "ManualCreditCeiling")
    for role, (group_permissions, ceiling) in ROLES.items():
        group = groups.objects.create(name=role)
        for label in dict.fromkeys([*VIEW, *group_permissions]):
            app, codename = label.split(".")
            model = permission_model(app, codename)
            content_type, _ = content_types.objects.get_or_create(app_label=app, model=model)
            name = permission_name(app, codename, apps.get_model(app, model)._meta.verbose_name)
            permission, _ = permissions.objects.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": name}
            )
            group.permissions.add(permission)
        if ceiling:
            per_action, per_day = ceiling
            ceilings.objects.create(group=group, per_action=per_action, per_day=per_day)


class Migration(migrations.Migration):
    dependencies = [
        ("console", "0001_initial"),
        ("credits", "0001_initial"),
        ("identity", "0001_initial"),
        ("tiers", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
