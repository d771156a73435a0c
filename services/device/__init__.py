"""Who can be reached where: devices, contact points, and the one answer that workers ask for."""
