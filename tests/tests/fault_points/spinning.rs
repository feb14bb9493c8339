pub fn nothing_spins_while_faults_last() {}
