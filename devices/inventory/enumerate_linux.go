package inventory

// enumerate lists the ports of sysfs. Nothing is opened.
func (inv Inventory) enumerate() ([]Port, error) { return inv.readSysfs() }
