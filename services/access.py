"""Who may call what: the one table of roles per method. What is not in it, nobody may call."""

from __future__ import annotations

from typing import Final

_VIEWER, _SENDER, _REGISTRAR, _EDITOR = "viewer", "sender", "registrar", "editor"
_OPERATOR, _ADMIN, _PLATFORM_ADMIN, _SERVICE = "operator", "admin", "platform_admin", "service"

INTERNAL: Final = frozenset({_SERVICE})


def _methods(service: str, **roles: tuple[str, ...]) -> dict[str, frozenset[str]]:
    return {f"/clarion.{service}/{method}": frozenset(allowed) for method, allowed in roles.items()}


ACCESS: Final = {
    **_methods(
        "notification.v1.NotificationService",
        SendNotification=(_SENDER,),
        BatchSendNotifications=(_SENDER,),
        GetNotification=(_VIEWER, _SENDER),
        ListNotifications=(_VIEWER, _SENDER),
        CancelNotification=(_SENDER,),
        WatchNotification=(_VIEWER, _SENDER),
        ReportProgress=(_SERVICE,),
    ),
    **_methods(
        "notification.v1.TemplateService",
        CreateTemplate=(_EDITOR,),
        UpdateTemplate=(_EDITOR,),
        GetTemplate=(_EDITOR, _VIEWER),
        ListTemplates=(_EDITOR, _VIEWER),
        ListTemplateVersions=(_EDITOR, _VIEWER),
        DeleteTemplate=(_EDITOR,),
        PreviewTemplate=(_EDITOR, _VIEWER),
    ),
    **_methods(
        "device.v1.DeviceService",
        RegisterDevice=(_REGISTRAR,),
        GetDevice=(_REGISTRAR, _VIEWER),
        ListDevices=(_REGISTRAR, _VIEWER),
        DeleteDevice=(_REGISTRAR,),
        ResolveRecipients=(_SERVICE,),
        InvalidateTokens=(_SERVICE,),
    ),
    **_methods(
        "device.v1.RecipientService",
        UpsertRecipient=(_REGISTRAR,),
        GetRecipient=(_REGISTRAR, _VIEWER),
        DeleteRecipient=(_REGISTRAR,),
        GetPreferences=(_REGISTRAR, _VIEWER),
        UpdatePreferences=(_REGISTRAR,),
        SubscribeTopic=(_REGISTRAR,),
        UnsubscribeTopic=(_REGISTRAR,),
    ),
    **_methods(
        "delivery.v1.DeliveryService",
        ListDeliveries=(_VIEWER, _SENDER),
        GetProviderHealth=(_VIEWER, _OPERATOR),
        CreateProviderAccount=(_OPERATOR,),
        ListProviderAccounts=(_OPERATOR,),
        DeleteProviderAccount=(_OPERATOR,),
        Deliver=(_SERVICE,),
    ),
    **_methods(
        "retry.v1.RetryService",
        ListDeadLetters=(_OPERATOR,),
        RedriveDeadLetters=(_OPERATOR,),
        Schedule=(_SERVICE,),
        Cancel=(_SERVICE,),
    ),
    **_methods(
        "analytics.v1.AnalyticsService",
        QueryStats=(_VIEWER,),
        GetFunnel=(_VIEWER,),
        RecordReceipts=(_SENDER,),
    ),
    **_methods(
        "auth.v1.AuthService",
        CreateClient=(_ADMIN, _PLATFORM_ADMIN),
        GetClient=(_ADMIN, _PLATFORM_ADMIN),
        ListClients=(_ADMIN, _PLATFORM_ADMIN),
        SetClientRoles=(_ADMIN, _PLATFORM_ADMIN),
        RotateClientSecret=(_ADMIN, _PLATFORM_ADMIN),
        DeleteClient=(_ADMIN, _PLATFORM_ADMIN),
        RotateSigningKey=(_PLATFORM_ADMIN,),
        ListAuditEntries=(_ADMIN, _PLATFORM_ADMIN),
    ),
}
"""`/package.Service/Method` → the roles of which the caller needs one."""
